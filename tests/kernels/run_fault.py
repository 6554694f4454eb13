"""Runs one of the kernels that misbehave: run_fault.py <name> <edge> <threads>."""

from __future__ import annotations

import sys

import numpy as np
from bindings import _kernels

if __name__ == "__main__":
    name, edge, threads = sys.argv[1:]
    _kernels.set_edge(edge)
    print(_kernels.faults.run(name, np.ones(1001, np.float32), threads=int(threads)).sum())

"""Runs all kernels of an operator in memory that ends, or begins, at a forbidden page.

run_at_edge.py <operator> <edge>: prints each call before it runs, so that the last one printed is
the one that the process died of.
"""

from __future__ import annotations

import sys
from itertools import islice

from bindings import _kernels, registry
from problems import PROBLEMS


def main(operator: str, edge: str) -> None:
    _kernels.set_edge(edge)
    for kernel in filter(lambda kernel: kernel.is_usable, registry(operator)):
        for problem in PROBLEMS[operator]:
            if not problem.suits(kernel) or problem.large:
                continue
            for kind, operands in islice(problem.draws(kernel), 2):
                for threads in (1, 3):
                    print(kernel.name, problem, kind, threads, "threads", flush=True)
                    problem.run(kernel, operands, threads=threads)


if __name__ == "__main__":
    main(*sys.argv[1:])

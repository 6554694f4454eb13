"""The faults that tools/seed_faults.py seeds, one of a kind."""

from __future__ import annotations

from faults.cuda import CUDA
from faults.fault import Fault
from faults.kernels import KERNELS
from faults.operators import OPERATORS
from faults.optimization import OPTIMIZATION
from faults.package import PACKAGE

__all__ = ["FAULTS", "Fault"]

FAULTS = (*KERNELS, *CUDA, *OPERATORS, *OPTIMIZATION, *PACKAGE)

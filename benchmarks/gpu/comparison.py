"""Implementations, and whether their results are right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

import cnnext
from cnnext.testing.errors import measure
from cnnext.testing.timing import cudnn_benchmark

Tensors = tuple[Tensor, ...]
Call = Callable[[], Tensors]


@dataclass(frozen=True)
class Implementation:
    """One way to do the work.

    ``make`` returns a call for each copy of the operands, to be made in turn; it and the calls
    run within ``context``.
    """

    name: str
    make: Callable[[], Sequence[Call]]
    context: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def ours(self) -> bool:
        return self.name.startswith("cnnext")


@dataclass(frozen=True)
class Verdict:
    """The largest relative error of a result, and what it may be."""

    error: float
    limit: float

    @property
    def agrees(self) -> bool:
        return self.error <= self.limit  # False for NaN


@dataclass(frozen=True)
class Comparison:
    """The implementations of one task, and the judge of their results.

    ``copies`` is the number of sets of operands that are used in turn; ``bytes`` the size of one.
    """

    implementations: tuple[Implementation, ...]
    judge: Callable[[Tensors], Verdict]
    copies: int = 1
    bytes: int = 0


def context_of(name: str) -> Callable[[], AbstractContextManager[None]]:
    """What a name says: the backend and, for native channels_last, cuDNN's search."""
    if name.startswith("cnnext"):
        return lambda: cnnext.flags(cuda_backend=name.split()[1], strict=True)
    if name.startswith("torch") and name.endswith("NCHW"):
        return nullcontext
    return lambda: cudnn_benchmark(True)


def unit(dtype: torch.dtype, tf32: bool = False) -> float:
    """Half the distance from 1 to the next number: the relative error of rounding an operand."""
    return 2.0**-11 if tf32 and dtype == torch.float32 else torch.finfo(dtype).eps / 2


def tolerance(operand_unit: float, terms: int) -> float:
    """The relative error that a sum of so many random products may have.

    Rounding operands and results costs a few units; roundings of float32 partial sums walk
    randomly. The factors 8 and 4 leave room for the largest of many errors.
    """
    return 8 * operand_unit + 4 * math.sqrt(terms) * unit(torch.float32)


def relative_error(results: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    """The largest of all tensors: of the largest errors, and of the errors' root mean squares.

    Raises:
        AssertionError: shapes differ.
        ValueError: there are more tensors of the one than of the other.
    """
    worst = 0.0
    for result, reference in zip(results, references, strict=True):
        found = measure(result, reference)
        rms = found.rms / found.rms_ref if found.rms_ref else found.rms
        worst = max(worst, found.relative, rms)
    return worst

"""Values in float64, each with how far from it a kernel may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bindings import Array
from numerics import eps_of, sum_tolerance

#: How many eps a sigmoid or tanh may be off, relative to its value. The vector kernels are off by
#: 1.5; the rest is for other compilers and for NumPy, against which float64 kernels are measured.
ACTIVATION_EPS = 3

#: The vector kernels' sigmoid ends at exp(-87), just above where floats lose precision.
SIGMOID_FLOOR = 2e-38


@dataclass(frozen=True)
class Estimate:
    """A value, and how far from it a kernel may be: as far as what it is computed from takes it,
    and one rounding for each operation. As in `sum_tolerance`, half of each is NumPy's."""

    value: Array
    error: Array
    eps: float

    def _rounded(self, value: Array, error: Array) -> Estimate:
        return Estimate(value, error + self.eps * np.abs(value), self.eps)

    def __add__(self, other: Estimate) -> Estimate:
        return self._rounded(self.value + other.value, self.error + other.error)

    def __sub__(self, other: Estimate) -> Estimate:
        return self._rounded(self.value - other.value, self.error + other.error)

    def __rsub__(self, number: int) -> Estimate:
        return self._rounded(number - self.value, self.error)

    def __mul__(self, other: Estimate) -> Estimate:
        error = np.abs(self.value) * other.error + np.abs(other.value) * self.error
        return self._rounded(self.value * other.value, error + self.error * other.error)

    def __getitem__(self, at: slice) -> Estimate:
        return Estimate(self.value[at], self.error[at], self.eps)

    def __setitem__(self, at: slice, other: Estimate) -> None:
        self.value[at], self.error[at] = other.value, other.error


def given(values: Array, dtype: str) -> Estimate:
    return Estimate(values, np.zeros_like(values), eps_of(dtype))


def side_by_side(blocks: Sequence[Estimate]) -> Estimate:
    value, error = (np.stack([getattr(b, part) for b in blocks], 1) for part in ("value", "error"))
    return Estimate(value, error, blocks[0].eps)


def sum_of(factors: Iterable[tuple[Array, Array]], terms: list[Estimate], dtype: str) -> Estimate:
    """The sum of some products of matrices, and of terms."""
    value: Any = sum(term.value for term in terms)
    magnitude: Any = sum(np.abs(term.value) for term in terms)
    length = len(terms)
    for a, b in factors:
        value = value + a @ b
        magnitude = magnitude + np.abs(a) @ np.abs(b)
        length += len(b)
    error: Any = sum(term.error for term in terms)
    return Estimate(value, error + sum_tolerance(magnitude, length, dtype), eps_of(dtype))


def sigmoid(z: Estimate) -> Estimate:
    value = 1 / (1 + np.exp(-z.value))
    return Estimate(value, z.error / 4 + ACTIVATION_EPS * z.eps * value + SIGMOID_FLOOR, z.eps)


def tanh(z: Estimate) -> Estimate:
    value = np.tanh(z.value)
    return Estimate(value, z.error + ACTIVATION_EPS * z.eps * np.abs(value), z.eps)

"""Random inputs, and how far from the exact result a kernel may be."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from bindings import Array

SEED = int(os.environ.get("CNNEXT_TEST_SEED", "0"))


def generator(*names: object) -> np.random.Generator:
    """A generator of its own for everything that has a name, whatever else is drawn."""
    return np.random.default_rng([SEED, zlib.crc32(repr(names).encode())])


def _sparse90(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return rng.standard_normal(shape) * (rng.random(shape) >= 0.9)


#: The input classes of the numerics contract.
INPUT_KINDS: dict[str, Callable[[np.random.Generator, Sequence[int]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "post_relu": lambda rng, shape: np.maximum(rng.standard_normal(shape), 0),
    "uniform": lambda rng, shape: rng.random(shape),
    "sparse90": _sparse90,
}


def wide(arrays: Iterable[Array | None]) -> list[Any]:
    """The arrays in float64; None, for an array that is not given, stays None."""
    return [None if a is None else a.astype(np.float64) for a in arrays]


def eps_of(dtype: str) -> float:
    return float(np.finfo(dtype).eps)


def sum_tolerance(magnitude: Array, length: int, dtype: str) -> Array:
    """How far a sum of `length` products may be from exact, given the sum of their magnitudes.

        |error| <= min(length, 3 sqrt(length)) * eps * magnitude

    The first bound always holds, in whatever order the products are summed (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 3.1); the second holds with a probability
    that is as good as one, because roundings cancel (Higham and Mary, 2019, theorem 2.4 with
    lambda = 6). Both say u where this says eps = 2u: the other half is for the reference, which
    is no better than a float64 kernel.
    """
    return min(length, 3 * length**0.5) * eps_of(dtype) * magnitude


def assert_within(actual: Array, expected: Array, tolerance: Array, what: str) -> None:
    """|actual - expected| <= tolerance; where `expected` is not finite, both are the same."""
    assert actual.shape == expected.shape, what
    finite = np.isfinite(expected)
    with np.errstate(invalid="ignore"):
        error = np.abs(actual.astype(np.float64) - expected)
        good = np.where(
            finite,
            error <= tolerance,
            (actual == expected) | (np.isnan(actual) & np.isnan(expected)),
        )
    if not good.all():
        excess = np.where(good, -1.0, np.nan_to_num(error, nan=np.inf))
        at = np.unravel_index(excess.argmax(), excess.shape)
        limit = np.broadcast_to(tolerance, expected.shape)[at]
        pytest.fail(
            f"{what}: {(~good).sum()} of {good.size} values are off, the worst at "
            f"{tuple(map(int, at))}: {actual[at]!r}, expected {expected[at]!r} +- {limit:.2e}"
        )


def assert_same_bits(actual: Array, expected: Array, what: str) -> None:
    """NaN equals NaN of the same payload, and -0.0 is not 0.0."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape, what
    bits = f"u{actual.itemsize}"
    differs = np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(expected).view(bits)
    if differs.any():
        at = tuple(np.argwhere(differs)[0])
        pytest.fail(
            f"{what}: {differs.sum()} of {differs.size} values differ, the first at "
            f"{tuple(map(int, at))}: {actual[at]!r}, expected {expected[at]!r}"
        )

"""Every linear kernel against the formulas of csrc/linear/linear.h in float64."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, assert_within, generator, magnitudes, sum_tolerance, wide


class Case(NamedTuple):
    m: int
    n: int
    k: int

    def __str__(self) -> str:
        return "x".join(map(str, self))

    @property
    def shape(self) -> Shape:
        return self._asdict()


SMALL = [Case(m, SIZES[m % 9], SIZES[(2 * m + 3) % 9]) for m in range(1, 18)]
#: Beyond the kernels' blocks of each dimension, to go through more than one.
LARGE = [
    *(Case(3, 5, 601), Case(5, 399, 7), Case(401, 6, 5), Case(50, 67, 259)),
    *(Case(3, 1300, 300), Case(3, 300, 1300), Case(300, 3, 1300)),
]


class Operands(NamedTuple):
    x: Array
    w: Array
    b: Array | None
    dy: Array

    def of(self, direction: str) -> tuple[Array | None, ...]:
        return {
            "forward": (self.x, self.w, self.b),
            "bwd_input": (self.dy, self.w),
            "bwd_weight": (self.dy, self.x),
        }[direction]


@cache
def draw(case: Case, kind: str, dtype: str, bias: bool = True) -> Operands:
    m, n, k = case
    rng = generator("linear", case, kind, dtype)
    activations = INPUT_KINDS[kind]
    return Operands(
        activations(rng, (m, k)).astype(dtype),
        rng.standard_normal((n, k)).astype(dtype),
        rng.standard_normal(n).astype(dtype) if bias else None,
        activations(rng, (m, n)).astype(dtype),
    )


def exact(direction: str, operands: Operands) -> Array:
    x, w, b, dy = wide(operands)
    if direction == "forward":
        return x @ w.T if b is None else x @ w.T + b
    return dy @ w if direction == "bwd_input" else dy.T @ x


@cache
def reference(
    case: Case, direction: str, kind: str, dtype: str, bias: bool = True
) -> tuple[Array, Array]:
    """The exact result and its tolerance."""
    operands = draw(case, kind, dtype, bias)
    length = {"forward": case.k + bias, "bwd_input": case.n, "bwd_weight": case.m}[direction]
    tolerance = sum_tolerance(exact(direction, Operands(*magnitudes(operands))), length, dtype)
    return exact(direction, operands), tolerance


def run(kernel: Kernel, case: Case, operands: Operands, threads: int) -> Array:
    flat = kernel.run(*operands.of(kernel.direction), threads=threads, **case.shape)
    rows = case.n if kernel.direction == "bwd_weight" else case.m
    return flat.reshape(rows, -1)


def variants(cases: list[Case]) -> dict[str, tuple[Shape, list[Case]]]:
    return {str(case): (case.shape, [case]) for case in cases}


PARAMS = [
    *each_kernel("linear", variants=variants(SMALL)),
    *each_kernel("linear", variants=variants(LARGE), references=False),
]


@pytest.mark.parametrize("kernel, case", PARAMS)
def test_agrees_with_float64(kernel: Kernel, case: Case) -> None:
    for kind, threads in zip(INPUT_KINDS, THREADS, strict=True):
        for bias in (True, False) if kernel.direction == "forward" else (False,):
            operands = draw(case, kind, kernel.dtype, bias)
            expected, tolerance = reference(case, kernel.direction, kind, kernel.dtype, bias)
            actual = run(kernel, case, operands, threads)
            assert_within(actual, expected, tolerance, f"{kind}, bias {bias}, {threads} threads")


@pytest.mark.parametrize("kernel, case", PARAMS)
def test_same_threads_same_bits(kernel: Kernel, case: Case) -> None:
    operands = draw(case, "normal", kernel.dtype)
    for threads in THREADS[-1:]:
        first, second = (run(kernel, case, operands, threads) for _ in range(2))
        assert_same_bits(second, first, f"the second of two runs with {threads} threads")


@pytest.mark.parametrize("kernel, case", PARAMS)
def test_nan_and_inf_reach_what_reads_them(kernel: Kernel, case: Case) -> None:
    operands = draw(case, "normal", kernel.dtype)
    operands = operands._replace(x=operands.x.copy(), dy=operands.dy.copy())
    special = operands.dy if kernel.direction == "bwd_input" else operands.x
    rng = generator("linear specials", case)
    for value in (np.nan, np.inf, -np.inf)[: special.size]:
        special.flat[rng.integers(special.size)] = value
    with np.errstate(invalid="ignore"):
        expected = exact(kernel.direction, operands)
    _, tolerance = reference(case, kernel.direction, "normal", kernel.dtype)
    assert_within(run(kernel, case, operands, threads=2), expected, tolerance, "result")

"""The epilogue alone, as kernels have it at their last store: every ISA's against float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from bindings import (
    SIZES,
    THREADS,
    Array,
    Kernel,
    Shape,
    _kernels,
    assert_same_bits,
    each_kernel,
)
from numerics import assert_within, eps_of, generator

_erfc = np.frompyfunc(math.erfc, 1, 1)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hardsigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


class Activation(NamedTuple):
    """An activation in float64, its parameters, and how exact it must be where it is small."""

    of: Callable[[Array], Array]
    parameters: Mapping[str, float] = {}
    is_exact: bool = False
    #: In units in the last place, where |y| < SMALL.
    small_ulps: float = 3


#: In units in the last place, where |y| >= SMALL.
MAX_ULPS, SMALL = 3, 1e-3

#: The slope is a power of two, so that a product with it is exact.
ACTIVATIONS = {
    "none": Activation(lambda x: x, is_exact=True),
    "relu": Activation(lambda x: np.maximum(x, 0), is_exact=True),
    "clamp": Activation(lambda x: np.clip(x, -0.5, 6), {"low": -0.5, "high": 6}, is_exact=True),
    "leaky_relu": Activation(
        lambda x: np.where(x > 0, x, x * 0.125), {"negative_slope": 0.125}, is_exact=True
    ),
    "sigmoid": Activation(sigmoid),
    "tanh": Activation(np.tanh),
    "silu": Activation(lambda x: x * sigmoid(x)),
    "hardswish": Activation(lambda x: x * hardsigmoid(x)),
    "hardsigmoid": Activation(hardsigmoid),
    # Native PyTorch is off by all that it returns where this is off by 10 units.
    "gelu": Activation(
        lambda x: x * (_erfc(x * -math.sqrt(0.5)).astype(np.float64) / 2), small_ulps=10
    ),
    "gelu_tanh": Activation(lambda x: x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))),
}
APPROXIMATE = [name for name, activation in ACTIVATIONS.items() if not activation.is_exact]


def test_the_list_is_that_of_the_kernels() -> None:
    assert _kernels.finish.activations == [*ACTIVATIONS]


class Case(NamedTuple):
    rows: int
    columns: int
    #: Distances of the bias: from row to row, and from column to column.
    bias_row: int = 0
    bias_column: int = 0
    #: Between the rows of the residual.
    gap: int = 0

    @property
    def shape(self) -> Shape:
        return {
            **{"rows": self.rows, "columns": self.columns},
            **{"bias_row": self.bias_row, "bias_column": self.bias_column},
            "residual_row": self.columns + self.gap,
        }


class Operands(NamedTuple):
    x: Array
    bias: Array | None
    residual: Array | None


def draw(case: Case, dtype: str, bias: bool, residual: bool) -> Operands:
    """Multiples of 1/32, whose sums are exact."""
    rng = generator(case, dtype, bias, residual)

    def numbers(*shape: int) -> Array:
        return (rng.integers(-128, 129, shape) / 32).astype(dtype)

    bias_shape = (case.rows if case.bias_row else 1, case.columns if case.bias_column else 1)
    return Operands(
        numbers(case.rows, case.columns),
        numbers(*bias_shape) if bias else None,
        numbers(case.rows, case.columns) if residual else None,
    )


def run(
    kernel: Kernel, case: Case, operands: Operands, activation: str, threads: int, **options: Any
) -> Array:
    """The kernel's result; what lies between the rows of the residual is NaN."""
    residual = operands.residual
    if residual is not None:
        gap = np.full((case.rows, case.gap), np.nan, residual.dtype)
        residual = np.hstack([residual, gap]).ravel()[: residual.size + gap.size - case.gap]
    epilogue = {"activation": activation, **ACTIVATIONS[activation].parameters, **options}
    y = kernel.run(operands.x, operands.bias, residual, epilogue, threads=threads, **case.shape)
    return y.reshape(case.rows, case.columns)


def allowed(activation: str, exact: Array, dtype: str) -> Array:
    """How far an activation may be from the exact one."""
    of, size = ACTIVATIONS[activation], np.abs(exact)
    if of.is_exact:
        return np.zeros_like(exact)
    if dtype == "float64":  # of the reference: its e^x, like ours, has a rounded x
        exponent = np.abs(np.log(np.maximum(size, np.finfo(dtype).tiny)))
        return 4 * eps_of(dtype) * (1 + exponent) * size
    unit = np.spacing(size.astype(np.float32)).astype(np.float64)
    return np.where(size >= SMALL, MAX_ULPS, of.small_ulps) * unit


#: Rows and columns around the sizes of tiles and vectors.
LARGEST = Case(15, max(SIZES))
CASES = [
    Case(rows, columns, *axis, gap)
    for (columns, rows), (axis, gap) in zip(
        itertools.product(SIZES, (1, 5, 14, 15)),
        itertools.cycle(itertools.product([(0, 1), (1, 0), (0, 0)], (0, 3))),
    )
]


def each_finish(*activations: str) -> Any:
    """Parameters (kernel, activation)."""
    variants = {name: (LARGEST.shape, [name]) for name in activations}
    params = each_kernel("finish", "forward", variants=variants)
    return pytest.mark.parametrize("kernel, activation", params)


@each_finish(*ACTIVATIONS)
def test_every_combination(kernel: Kernel, activation: str) -> None:
    threads = itertools.cycle(THREADS)
    for case in CASES:
        for bias, residual, after in itertools.product((False, True), repeat=3):
            if after and not residual:
                continue
            operands = draw(case, kernel.dtype, bias, residual)
            actual = run(kernel, case, operands, activation, next(threads), residual_after=after)
            x, b, r = (0 if a is None else a.astype(np.float64) for a in operands)
            exact = ACTIVATIONS[activation].of(x + b + (0 if after else r))
            tolerance = allowed(activation, exact, kernel.dtype)
            if after:
                tolerance = tolerance + eps_of(kernel.dtype) / 2 * (np.abs(exact + r) + tolerance)
                exact = exact + r
            what = f"{case}, bias {bias}, residual {residual}, after {after}"
            assert_within(actual, exact, tolerance, what)


def samples(dtype: str) -> Array:
    """Numbers of all magnitudes, and those where activations bend once more."""
    bits = np.arange(1, np.float32(150).view(np.int32), 8191, dtype=np.int32)
    magnitudes = bits.view(np.float32)
    return np.concatenate([magnitudes, -magnitudes, np.linspace(-16, 16, 200_001)]).astype(dtype)


@each_finish(*APPROXIMATE)
def test_accuracy(kernel: Kernel, activation: str) -> None:
    x = samples(kernel.dtype)
    case = Case(1, len(x))
    actual = run(kernel, case, Operands(x, None, None), activation, threads=2)
    with np.errstate(over="ignore"):
        exact = ACTIVATIONS[activation].of(x.astype(np.float64))
    tolerance = allowed(activation, exact, kernel.dtype)
    if kernel.dtype == "float32":  # an e^x below the normal numbers has fewer digits, or none
        tolerance = np.maximum(tolerance, 64 * np.finfo(np.float32).smallest_subnormal)
    assert_within(actual[0], exact, tolerance, "y")


#: What native PyTorch computes of each, but for rounding.
SPECIALS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-40, -1e-40)
EXPECTED = {
    "none": SPECIALS,
    "relu": (np.nan, np.inf, 0.0, 0.0, -0.0, 1e30, 0.0, 1e-40, 0.0),
    "clamp": (np.nan, 6, -0.5, 0.0, -0.0, 6, -0.5, 1e-40, -1e-40),
    "leaky_relu": (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -0.125e30, 1e-40, -0.125e-40),
    "sigmoid": (np.nan, 1, 0.0, 0.5, 0.5, 1, 0.0, 0.5, 0.5),
    "tanh": (np.nan, 1, -1, 0.0, -0.0, 1, -1, 1e-40, -1e-40),
    "silu": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "hardswish": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "hardsigmoid": (np.nan, 1, 0.0, 0.5, 0.5, 1, 0.0, 0.5, 0.5),
    "gelu": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "gelu_tanh": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
}


@each_finish(*ACTIVATIONS)
def test_special_values(kernel: Kernel, activation: str) -> None:
    """Each of them in every lane, in whole and in partial vectors."""
    case = Case(len(SPECIALS), LARGEST.columns)
    rows = np.arange(case.rows)[:, None] + np.arange(case.columns)
    x = np.array(SPECIALS, kernel.dtype)[rows % len(SPECIALS)]
    expected = np.array(EXPECTED[activation], kernel.dtype)[rows % len(SPECIALS)]
    actual = run(kernel, case, Operands(x, None, None), activation, threads=1)
    if kernel.dtype == "float64":  # 1e-40 is an ordinary number there
        assert_within(actual, expected.astype(np.float64), np.abs(expected) * 1e-15, "y")
    nan = np.isnan(expected)
    assert (np.isnan(actual) == nan).all()
    if kernel.dtype == "float32":
        assert_same_bits(np.where(nan, 0, actual), np.where(nan, 0, expected), "y")


@each_finish("clamp")
def test_crossed_bounds_give_the_upper(kernel: Kernel, activation: str) -> None:
    operands = draw(LARGEST, kernel.dtype, bias=False, residual=False)
    y = run(kernel, LARGEST, operands, activation, threads=1, low=2, high=-1)
    assert (y == -1).all()


@pytest.mark.parametrize(
    "epilogue, error, message",
    [
        ({"activation": "rely"}, ValueError, "there is no activation 'rely'"),
        ({"hihg": 6}, TypeError, "an epilogue has no field 'hihg'"),
    ],
)
def test_wrong_epilogues(epilogue: dict[str, Any], error: type[Exception], message: str) -> None:
    x = np.zeros(1, np.float32)
    with pytest.raises(error, match=message):
        _kernels.finish.forward("finish_reference_f32", x, None, None, epilogue, **Case(1, 1).shape)


def test_a_bias_has_one_axis() -> None:
    with pytest.raises(ValueError, match="one of bias_row and bias_column may be 1"):
        _kernels.finish.cost("finish_reference_f32", **Case(1, 1, 1, 1).shape)

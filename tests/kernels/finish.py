"""finish: the epilogue of csrc/common/kernel/epilogue.h alone, as kernels have it at their last
store."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numerics import assert_within, eps_of, generator
from problem import Problem, Results, with_gaps

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
    #: As small as this it may be zero.
    negligible: float = 0


#: In units in the last place, where |y| >= SMALL.
MAX_ULPS, SMALL = 3, 1e-3

#: Those of a few instructions first. The slope is a power of two, so that a product with it is
#: exact.
ACTIVATIONS = {
    "none": Activation(lambda x: x, is_exact=True),
    "relu": Activation(lambda x: np.maximum(x, 0), is_exact=True),
    "clamp": Activation(lambda x: np.clip(x, -0.5, 6), {"low": -0.5, "high": 6}, is_exact=True),
    "leaky_relu": Activation(
        lambda x: np.where(x > 0, x, x * 0.125), {"negative_slope": 0.125}, is_exact=True
    ),
    "sigmoid": Activation(sigmoid),
    "tanh": Activation(np.tanh),
    # From here on e^-x is beyond float32, and native PyTorch returns zero, too.
    "silu": Activation(lambda x: x * sigmoid(x), negligible=2.6e-37),
    "hardswish": Activation(lambda x: x * hardsigmoid(x)),
    "hardsigmoid": Activation(hardsigmoid),
    # Native PyTorch is off by all that it returns where this is off by 10 units.
    "gelu": Activation(
        lambda x: x * (_erfc(x * -math.sqrt(0.5)).astype(np.float64) / 2), small_ulps=10
    ),
    "gelu_tanh": Activation(lambda x: x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))),
}


@dataclass(frozen=True)
class Epilogue:
    """What becomes of sums: an activation, and a residual that is added before or after it."""

    activation: str = "none"
    residual: str = ""

    def __str__(self) -> str:
        return f"{self.activation}, residual {self.residual or 'none'}"

    @property
    def fields(self) -> dict[str, Any]:
        """Those of csrc/common/numpy/epilogue.h."""
        parameters = ACTIVATIONS[self.activation].parameters
        after = self.residual == "after"
        return {"activation": self.activation, "residual_after": after, **parameters}

    def expected(
        self, biased: Array, residual: Array | None, tolerance: Array, dtype: str
    ) -> tuple[Array, Array]:
        """The exact result and how far off it may be.

        What the activation is applied to, the biased sums with a residual before it, may be off by
        the tolerance. The activation makes that error at most as many times as large as it is
        steep, and adds its own; a residual after it is rounded once more.
        """
        added = np.zeros(1) if residual is None else residual.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            x = biased + added if self.residual == "before" else biased
            y = ACTIVATIONS[self.activation].of(x)
            # No error takes a sum out of infinity, which some activations make a number.
            tolerance = np.where(np.isfinite(x), steepest(self.activation) * tolerance, 0)
            tolerance = tolerance + allowed(self.activation, y, dtype)
            if self.residual == "after":
                y = y + added
                tolerance = tolerance + eps_of(dtype) / 2 * (np.abs(y) + tolerance)
        return y, tolerance


@cache
def steepest(activation: str) -> float:
    """The largest slope of an activation: 1 of most, 1.5 of hardswish."""
    x = np.linspace(-8, 8, 100_001)
    return float(np.max(np.abs(np.diff(ACTIVATIONS[activation].of(x)) / np.diff(x))))


def allowed(activation: str, exact: Array, dtype: str) -> Array:
    """How far an activation may be from the exact one."""
    of, size = ACTIVATIONS[activation], np.abs(exact)
    if of.is_exact:
        return np.zeros_like(exact)
    if dtype == "float64":  # of the reference: its e^x, like ours, has a rounded x
        exponent = np.abs(np.log(np.maximum(size, np.finfo(dtype).tiny)))
        return 4 * eps_of(dtype) * (1 + exponent) * size
    unit = np.spacing(size.astype(np.float32)).astype(np.float64)
    # An e^x below the normal numbers has fewer digits, or none.
    tiny = 64 * np.finfo(np.float32).smallest_subnormal
    return np.maximum(
        np.where(size >= SMALL, MAX_ULPS, of.small_ulps) * unit, max(tiny, of.negligible)
    )


class Operands(NamedTuple):
    x: Array
    bias: Array | None
    residual: Array | None
    epilogue: Epilogue


@dataclass(frozen=True)
class Finish(Problem):
    rows: int
    columns: int
    #: Distances of the bias: from row to row, and from column to column.
    bias_row: int = 0
    bias_column: int = 0
    #: Between the rows of the residual.
    gap: int = 0

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @property
    def representative(self) -> bool:
        return self.rows == LARGEST.rows

    @property
    def shape(self) -> Shape:
        return {
            **{"rows": self.rows, "columns": self.columns},
            **{"bias_row": self.bias_row, "bias_column": self.bias_column},
            "residual_row": self.columns + self.gap,
        }

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Operands]]:
        """Multiples of 1/32, whose sums are exact. The first two draws read all that there is, in
        registers and in memory."""
        rng = generator(self, kernel.dtype)

        def numbers(*shape: int) -> Array:
            return (rng.integers(-128, 129, shape) / 32).astype(kernel.dtype)

        x, residual = numbers(self.rows, self.columns), numbers(self.rows, self.columns)
        bias_shape = (self.rows if self.bias_row else 1, self.columns if self.bias_column else 1)
        bias = numbers(*bias_shape)
        names = sorted(ACTIVATIONS, key=("clamp", "gelu").__contains__, reverse=True)
        for has_bias, place, name in itertools.product((1, 0), ("before", "after", ""), names):
            epilogue = Epilogue(name, place)
            what = f"{epilogue}, {'with' if has_bias else 'no'} bias"
            given = bias if has_bias else None, residual if place else None
            yield what, Operands(x, *given, epilogue)

    def run(self, kernel: Kernel, operands: Operands, *, threads: int, **changed: Any) -> Results:
        """With some fields of the epilogue `changed`."""
        x, bias, residual, epilogue = operands
        if residual is not None:
            residual = with_gaps(residual, self.columns + self.gap)
        fields = {**epilogue.fields, **changed}
        y = kernel.run(x, bias, residual, fields, threads=threads, **self.shape)
        return {"y": y.reshape(self.rows, self.columns)}

    def check(self, kernel: Kernel, operands: Operands, results: Results, what: str) -> None:
        x, bias, residual, epilogue = operands
        biased = x.astype(np.float64) + (0 if bias is None else bias)
        exact = epilogue.expected(biased, residual, np.zeros(1), kernel.dtype)
        assert_within(results["y"], *exact, what)


#: Rows and columns around the sizes of tiles and vectors.
LARGEST = Finish(15, max(SIZES))
PROBLEMS = [
    Finish(rows, columns, *axis, gap)
    for (columns, rows), (axis, gap) in zip(
        itertools.product(SIZES, (1, 5, 14, 15)),
        itertools.cycle(itertools.product([(0, 1), (1, 0), (0, 0)], (0, 3))),
    )
]

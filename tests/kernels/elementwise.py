"""Element-wise operators as the reference kernel of the pass computes them: to the bit, but for
what is approximated.

That the references compute what native PyTorch does is shown by tests/ops/test_elementwise.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from bindings import ELEMENTWISE, SIZES, Array, Kernel, Shape, _kernels, registry
from numerics import assert_same_bits, assert_within, eps_of, generator
from problem import Problem, Results

SPECIALS = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0)

#: Beyond the first, exponentials are small; beyond the second, subnormal or zero.
MAGNITUDES = (1, 8, 64)


def three_ulps(y: Array, x: Array) -> Array:
    return 3 * np.maximum(eps_of(y.dtype) * np.abs(y), np.finfo(y.dtype).smallest_subnormal)


def of_one_minus_square(dx: Array, dy: Array, y: Array) -> Array:
    """Some compilers round the square, others do not."""
    with np.errstate(invalid="ignore", over="ignore"):
        return 2 * eps_of(dx.dtype) * np.abs(dy) * (1 + y * y)


#: How far from the expected result others may be, by that and the operands.
TOLERANCES: Mapping[tuple[str, str], Callable[..., Array]] = {
    ("sigmoid", "forward"): three_ulps,
    ("tanh", "forward"): three_ulps,
    ("tanh", "bwd_input"): of_one_minus_square,
}


class Elements(NamedTuple):
    arrays: list[Array]
    in_place: bool
    expected: Array


@dataclass(frozen=True)
class Elementwise(Problem):
    operator: str
    size: int

    def __str__(self) -> str:
        return str(self.size)

    @property
    def representative(self) -> bool:
        return self.size in (17, 1000, 32769)

    @property
    def shape(self) -> Shape:
        """With a value for each number that the operator takes."""
        rng = generator(self.operator, "parameters")
        names = getattr(_kernels, self.operator).parameters
        return {"size": self.size, **{name: rng.uniform(0.1, 2) for name in names}}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Elements]]:
        arrays, expected = draw_and_apply(self, kernel.direction, kernel.dtype)
        for i in range(8):  # each way on each number of threads
            in_place = (i + i // 4) % 2 == 1
            yield f"in place {in_place}", Elements(arrays, in_place, expected)

    def run(self, kernel: Kernel, operands: Elements, *, threads: int) -> Results:
        arrays, in_place, _ = operands
        return {"result": kernel.run(*arrays, in_place=in_place, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Elements, results: Results, what: str) -> None:
        arrays, _, expected = operands
        tolerance = TOLERANCES.get((self.operator, kernel.direction))
        if tolerance is None:
            assert_same_bits(results["result"], expected, what)
        else:
            assert_within(results["result"], expected, tolerance(expected, *arrays), what)


@cache
def draw_and_apply(problem: Elementwise, direction: str, dtype: str) -> tuple[list[Array], Array]:
    """Operands, a quarter of whose values is special, and the reference's result."""
    tiny = np.finfo(dtype).smallest_subnormal
    specials = np.array([*SPECIALS, tiny, -tiny], dtype)
    rng, size = generator("elementwise", problem, direction, dtype), problem.size
    arrays = [
        np.where(
            rng.random(size) < 0.25,
            rng.choice(specials, size),
            (rng.standard_normal(size) * rng.choice(MAGNITUDES, size)).astype(dtype),
        )
        for _ in range(1 if direction == "forward" else 2)
    ]
    kernels = registry(problem.operator, direction)
    (reference,) = (k for k in kernels if k.is_reference and k.dtype == dtype)
    return arrays, reference.run(*arrays, threads=1, **problem.shape)


#: The last sizes lie around the kernels' blocks of elements.
PROBLEMS: dict[str, list[Any]] = {
    operator: [
        Elementwise(operator, size)
        for size in (*SIZES, 63, 64, 65, 1000, 32767, 32768, 32769, 100_003)
    ]
    for operator in ELEMENTWISE
}

"""max_unpool2d: csrc/pooling/max_unpool2d.h, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results
from windows import LAYOUTS, Pair, pack, unpack


class Scattered(NamedTuple):
    #: What is moved, x or dy.
    source: Array
    indices: Array
    expected: Array
    #: An index that is no position, or None.
    invalid: int | None


@dataclass(frozen=True)
class MaxUnpool(Problem):
    n: int
    c: int
    image: Pair
    out: Pair
    layout: str

    def __str__(self) -> str:
        sizes = "x".join(map(str, (self.n, self.c, *self.image)))
        return f"{sizes}-to_{self.out[0]}x{self.out[1]}-{self.layout}"

    @property
    def shape(self) -> Shape:
        (h_in, w_in), (h_out, w_out) = self.image, self.out
        sizes = {"h_in": h_in, "w_in": w_in, "h_out": h_out, "w_out": w_out}
        return {"n": self.n, "c": self.c, **sizes, "layout": self.layout}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Scattered]]:
        """Indices that repeat, and then one that is outside."""
        rng = generator("max_unpool2d", self, kernel.direction, kernel.dtype)
        positions = self.out[0] * self.out[1]
        of_x, of_y = ((self.n, self.c, *size) for size in (self.image, self.out))
        for invalid in (None, -1, positions, -(2**63)):
            indices = rng.integers(0, positions, of_x)
            if invalid is not None:
                indices.flat[rng.integers(indices.size)] = invalid
            forward = kernel.direction == "forward"
            source = rng.standard_normal(of_x if forward else of_y).astype(kernel.dtype)
            moved = _scatter if forward else _gather
            expected = moved(source, indices, of_y)
            yield f"invalid {invalid}", Scattered(source, indices, expected, invalid)

    def run(self, kernel: Kernel, operands: Scattered, *, threads: int) -> Results:
        packed = [pack(a, self.layout) for a in (operands.source, operands.indices)]
        flat = kernel.run(*packed, threads=threads, **self.shape)
        if kernel.direction == "forward":
            flat, invalid = flat
            assert invalid == operands.invalid
        return {"result": unpack(flat, operands.expected.shape, self.layout)}

    def check(self, kernel: Kernel, operands: Scattered, results: Results, what: str) -> None:
        assert_same_bits(results["result"], operands.expected, what)


def _scatter(x: Array, indices: Array, of_y: tuple[int, ...]) -> Array:
    """The last in row-major order counts."""
    y = np.zeros(of_y, x.dtype)
    planes = y.reshape(-1, of_y[2] * of_y[3])
    count = len(planes)
    for plane, values, at in zip(
        planes, x.reshape(count, -1), indices.reshape(count, -1), strict=True
    ):
        for value, index in zip(values, at, strict=True):
            if 0 <= index < plane.size:
                plane[index] = value
    return y


def _gather(dy: Array, indices: Array, of_y: tuple[int, ...]) -> Array:
    count = of_y[0] * of_y[1]
    planes = dy.reshape(count, -1)
    at = indices.reshape(count, -1)
    inside = (at >= 0) & (at < planes.shape[1])
    values = np.take_along_axis(planes, np.where(inside, at, 0), 1)
    return np.where(inside, values, 0).astype(dy.dtype).reshape(indices.shape)


PROBLEMS = [
    MaxUnpool(n, c, image, out, layout)
    for layout in LAYOUTS
    for n, c, image, out in (
        (1, 1, (1, 1), (1, 1)),
        *((2, c, (3, 4), (6, 9)) for c in SIZES),
        (1, 2, (5, 7), (3, 2)),
        (1, 259, (2, 3), (4, 6)),
    )
]

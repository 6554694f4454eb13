"""reorder: activations from one order in memory to another, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from bindings import Array, Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results


class Activations(NamedTuple):
    x: Array
    around: Array
    expected: Array


@dataclass(frozen=True)
class Reorder(Problem):
    n: int
    c: int
    pixels: int
    source: str
    target: str
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        orders = f"{self.source}_to_{self.target}"
        return f"{self.n}x{self.c}x{self.pixels}-{orders}-gaps_{self.x_gap}_{self.y_gap}"

    @property
    def shape(self) -> Shape:
        sizes = {key: value for key, value in asdict(self).items() if key in ("n", "c", "pixels")}
        pixels = {"x_pixel": self.c + self.x_gap, "y_pixel": self.c + self.y_gap}
        return {**sizes, "from": self.source, "to": self.target, **pixels}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Activations]]:
        rng = generator("reorder", self, kernel.dtype)
        x = rng.standard_normal((self.n, self.c, self.pixels)).astype(kernel.dtype)
        nothing = np.full(x.shape, np.nan, kernel.dtype)
        given = laid_out(x, self.source, self.x_gap, np.nan)
        around = laid_out(nothing, self.target, self.y_gap, 7)
        yield "normal", Activations(given, around, laid_out(x, self.target, self.y_gap, 7))

    def run(self, kernel: Kernel, operands: Activations, *, threads: int) -> Results:
        return {"y": kernel.run(operands.x, operands.around, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Activations, results: Results, what: str) -> None:
        assert_same_bits(results["y"], operands.expected, what)


def laid_out(x: Array, layout: str, gap: int, between: float) -> Array:
    """(n, c, pixels) as it lies in memory, with `gap` elements between the pixels."""
    if layout == "nchw":
        return x.ravel()
    n, c, pixels = x.shape
    wide = np.full((n * pixels, c + gap), between, x.dtype)
    wide[:, :c] = x.transpose(0, 2, 1).reshape(n * pixels, c)
    return wide.ravel()[: wide.size - gap]


#: Channels around the widths of vectors, and pixels around a kernel's blocks of them.
PROBLEMS = [
    Reorder(n, c, pixels, source, target, x_gap, y_gap)
    for source, target in (
        ("nchw", "channels_last"),
        ("channels_last", "nchw"),
        ("channels_last", "channels_last"),
    )
    for n, c, pixels, x_gap, y_gap in (
        (1, 1, 1, 0, 0),
        (2, 3, 49, 0, 5),
        (1, 3, 5000, 0, 0),
        (3, 17, 33, 1, 0),
        (2, 64, 200, 16, 3),
        (1, 300, 7, 0, 0),
    )
]

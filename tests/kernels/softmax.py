"""softmax along channels and its logarithm, within the rounding of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bindings import Array, Kernel, Shape
from numerics import assert_within, eps_of, generator
from problem import Problem, Results
from reorder import laid_out


class Images(NamedTuple):
    x: Array
    around: Array


@dataclass(frozen=True)
class Softmax(Problem):
    pixels: int
    c: int
    log: bool
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        name = "log_of_" if self.log else ""
        return f"{name}{self.pixels}x{self.c}-gaps_{self.x_gap}_{self.y_gap}"

    @property
    def shape(self) -> Shape:
        pixels = {"x_pixel": self.c + self.x_gap, "y_pixel": self.c + self.y_gap}
        return {"pixels": self.pixels, "c": self.c, "log": self.log, **pixels}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Images]]:
        rng = generator("softmax", self, kernel.dtype)
        around = laid_out(
            np.full((1, self.c, self.pixels), np.nan, kernel.dtype), "channels_last", self.y_gap, 7
        )
        for kind, spread in (("normal", 1), ("far apart", 100)):
            x = spread * rng.standard_normal((1, self.c, self.pixels))
            yield kind, Images(x.astype(kernel.dtype), around)
        special = rng.standard_normal((1, self.c, self.pixels)).astype(kernel.dtype)
        for value in (np.nan, np.inf, -np.inf):
            special[0, rng.integers(self.c), rng.integers(self.pixels)] = value
        yield "NaN and Inf", Images(special, around)

    def run(self, kernel: Kernel, operands: Images, *, threads: int) -> Results:
        given = laid_out(operands.x, "channels_last", self.x_gap, np.nan)
        return {"y": kernel.run(given, operands.around, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Images, results: Results, what: str) -> None:
        x = operands.x.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            centred = x - x.max(1, keepdims=True)
            sums = np.exp(centred).sum(1, keepdims=True)
            expected = centred - np.log(sums) if self.log else np.exp(centred) / sums
            # An exponent is rounded, e^x is a few units off, and the sum is that of c of them.
            exponents = np.where(np.isfinite(centred), -centred, 0)
            relative = eps_of(kernel.dtype) * (8 + exponents + self.c)
            size = 1 if self.log else expected
            tolerance = relative * size + np.finfo(kernel.dtype).tiny
        assert_within(
            results["y"],
            laid_out(expected, "channels_last", self.y_gap, 7),
            laid_out(tolerance, "channels_last", self.y_gap, 0),
            what,
        )


#: Channels around the widths of vectors.
PROBLEMS = [
    Softmax(pixels, c, log, x_gap, y_gap)
    for log in (False, True)
    for pixels, c, x_gap, y_gap in (
        *((1, 1, 0, 0), (70, 2, 0, 1), (9, 16, 3, 0), (33, 21, 0, 0), (5, 1000, 1, 2)),
        (3000, 5, 0, 0),
    )
]

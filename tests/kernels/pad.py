"""pad: zeros around images, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bindings import Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results
from reorder import Activations, laid_out


@dataclass(frozen=True)
class Pad(Problem):
    n: int
    c: int
    h: int
    w: int
    #: Left, right, top, bottom.
    padding: tuple[int, int, int, int]
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        padding = "_".join(map(str, self.padding))
        image = f"{self.n}x{self.c}x{self.h}x{self.w}"
        return f"{image}-by_{padding}-gaps_{self.x_gap}_{self.y_gap}"

    @property
    def shape(self) -> Shape:
        return {
            **{"n": self.n, "c": self.c, "h_in": self.h, "w_in": self.w},
            **dict(zip(("left", "right", "top", "bottom"), self.padding, strict=True)),
            **{"x_pixel": self.c + self.x_gap, "y_pixel": self.c + self.y_gap},
        }

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Activations]]:
        rng = generator("pad", self, kernel.dtype)
        x = rng.standard_normal((self.n, self.c, self.h, self.w)).astype(kernel.dtype)
        left, right, top, bottom = self.padding
        y = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        flat = (self.n, self.c, -1)
        around = np.full_like(y, np.nan)
        yield (
            "normal",
            Activations(
                laid_out(x.reshape(flat), "channels_last", self.x_gap, np.nan),
                *(
                    laid_out(each.reshape(flat), "channels_last", self.y_gap, 7)
                    for each in (around, y)
                ),
            ),
        )

    def run(self, kernel: Kernel, operands: Activations, *, threads: int) -> Results:
        return {"y": kernel.run(operands.x, operands.around, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Activations, results: Results, what: str) -> None:
        assert_same_bits(results["y"], operands.expected, what)


#: Padding on no, some and all sides, into buffers with and without gaps.
PROBLEMS = [
    Pad(1, 1, 1, 1, (0, 0, 0, 0)),
    Pad(2, 3, 4, 5, (1, 2, 3, 0)),
    Pad(1, 17, 3, 2, (0, 1, 0, 2), 0, 3),
    Pad(3, 5, 2, 7, (4, 0, 1, 1), 2, 0),
    Pad(1, 64, 1, 3, (2, 2, 2, 2), 1, 16),
]

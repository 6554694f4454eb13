"""shuffle: channels to other channels, or to other pixels, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bindings import Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results
from reorder import Activations, laid_out


@dataclass(frozen=True)
class Shuffle(Problem):
    n: int
    h: int
    w: int
    rows: int
    columns: int
    upscale: int = 1
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        matrix = f"{self.rows}x{self.columns}"
        gaps = f"gaps_{self.x_gap}_{self.y_gap}"
        return f"{self.n}x{self.h}x{self.w}-{matrix}-by_{self.upscale}-{gaps}"

    @property
    def shape(self) -> Shape:
        c_in = self.rows * self.columns
        c_out = self.rows if self.upscale > 1 else c_in
        return {
            **{name: getattr(self, name) for name in ("n", "h", "w", "rows", "columns", "upscale")},
            "x_pixel": c_in + self.x_gap,
            "y_pixel": c_out + self.y_gap,
        }

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Activations]]:
        rng, u = generator("shuffle", self, kernel.dtype), self.upscale
        x = rng.standard_normal((self.n, self.rows, self.columns, self.h, self.w))
        x = x.astype(kernel.dtype)
        if u == 1:
            y = x.swapaxes(1, 2)
        else:
            y = x.reshape(self.n, self.rows, u, u, self.h, self.w).transpose(0, 1, 4, 2, 5, 3)
        pixels = self.h * self.w
        expected = np.ascontiguousarray(y).reshape(self.n, -1, pixels * u * u)
        given = x.reshape(self.n, -1, pixels)
        around = np.full(expected.shape, np.nan, kernel.dtype)
        yield (
            "normal",
            Activations(
                laid_out(given, "channels_last", self.x_gap, np.nan),
                *(laid_out(each, "channels_last", self.y_gap, 7) for each in (around, expected)),
            ),
        )

    def run(self, kernel: Kernel, operands: Activations, *, threads: int) -> Results:
        return {"y": kernel.run(operands.x, operands.around, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Activations, results: Results, what: str) -> None:
        assert_same_bits(results["y"], operands.expected, what)


#: Few and many groups, of fewer and of more channels than vectors have lanes.
PROBLEMS = [
    Shuffle(1, 1, 1, 1, 1),
    Shuffle(2, 3, 5, 2, 29, 1, 1, 3),
    Shuffle(1, 7, 2, 3, 20),
    Shuffle(1, 2, 3, 4, 5, 1, 0, 2),
    Shuffle(3, 1, 4, 8, 17, 1, 5),
    Shuffle(1, 5, 5, 33, 2),
    Shuffle(2, 3, 4, 3, 4, 2, 2, 1),
    Shuffle(1, 4, 3, 20, 9, 3, 0, 4),
    Shuffle(1, 2, 2, 17, 16, 4, 1),
]

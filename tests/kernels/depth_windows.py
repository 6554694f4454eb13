"""depth_windows: volumes as images of windows of slices, and the gradient of that, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bindings import Array, Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results


class Slices(NamedTuple):
    given: Array
    expected: Array


@dataclass(frozen=True)
class DepthWindows(Problem):
    n: int
    c: int
    depth: int
    pixels: int
    taps: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1

    def __str__(self) -> str:
        volume = f"{self.n}x{self.c}x{self.depth}x{self.pixels}"
        return f"{volume}-taps_{self.taps}-by_{self.stride}_{self.pad}_{self.dilation}"

    @property
    def shape(self) -> Shape:
        sizes = {"n": self.n, "c": self.c, "d_in": self.depth, "pixels": self.pixels}
        steps = {"stride": self.stride, "pad": self.pad, "dilation": self.dilation}
        return {**sizes, "taps": self.taps, **steps}

    @property
    def windows(self) -> int:
        reach = self.dilation * (self.taps - 1) + 1
        return (self.depth + 2 * self.pad - reach) // self.stride + 1

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Slices]]:
        rng = generator("depth_windows", self, kernel.direction, kernel.dtype)
        volume = (self.n, self.c, self.depth, self.pixels)
        images = (self.n, self.windows, self.c, self.taps, self.pixels)
        forward = kernel.direction == "forward"
        given = rng.standard_normal(volume if forward else images).astype(kernel.dtype)
        expected = np.zeros(images if forward else volume, kernel.dtype)
        for t in range(self.taps):
            for i in range(self.windows):
                d = i * self.stride - self.pad + t * self.dilation
                if not 0 <= d < self.depth:
                    continue
                if forward:
                    expected[:, i, :, t] = given[:, :, d]
                else:
                    expected[:, :, d] += given[:, i, :, t]
        yield "normal", Slices(given.ravel(), expected.ravel())

    def run(self, kernel: Kernel, operands: Slices, *, threads: int) -> Results:
        return {"result": kernel.run(operands.given, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Slices, results: Results, what: str) -> None:
        assert_same_bits(results["result"], operands.expected, what)


#: Windows that lie side by side, meet, leave slices out, and reach beyond the volume.
PROBLEMS = [
    DepthWindows(1, 1, 1, 1, 1),
    DepthWindows(2, 3, 5, 17, 1),
    DepthWindows(2, 3, 6, 9, 3, 1, 1),
    DepthWindows(1, 5, 7, 16, 3, 2, 1),
    DepthWindows(3, 2, 8, 5, 2, 3),
    DepthWindows(1, 2, 9, 33, 3, 1, 2, 2),
    DepthWindows(2, 1, 2, 7, 3, 2, 4, 3),
]

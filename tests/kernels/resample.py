"""resample: nearest pixels to the bit, bilinear means within the rounding of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bindings import Array, Kernel, Shape
from numerics import assert_within, eps_of, generator
from problem import Problem, Results
from reorder import laid_out

f32 = np.float32


class Images(NamedTuple):
    x: Array
    around: Array


class Neighbours(NamedTuple):
    first: Array
    second: Array
    share: Array
    #: How far off `share` may be: its position in the image is rounded in each operation.
    error: Array


@dataclass(frozen=True)
class Axis:
    size: int
    result: int
    #: The factor that torch is given, or None: then the sizes say it.
    scale: float | None = None

    def ratio(self, align_corners: bool) -> np.float32:
        if align_corners:
            return f32(self.size - 1) / f32(self.result - 1) if self.result > 1 else f32(0)
        return f32(1 / self.scale) if self.scale else f32(self.size) / f32(self.result)

    def neighbours(self, interpolation: str, align_corners: bool) -> Neighbours:
        i, ratio = np.arange(self.result), self.ratio(align_corners)
        if self.size == self.result:
            return Neighbours(i, i, np.zeros(i.size), np.zeros(i.size))
        if interpolation == "nearest":
            at = i // 2 if self.result == 2 * self.size else (i.astype(f32) * ratio).astype(int)
            at = np.minimum(at, self.size - 1)
            return Neighbours(at, at, np.zeros(i.size), np.zeros(i.size))
        wide = np.float64(ratio)
        position = wide * i if align_corners else np.maximum(wide * (i + 0.5) - 0.5, 0)
        first = np.minimum(position.astype(int), self.size - 1)
        share = np.minimum(position - first, 1)
        error = 3 * eps_of("float32") * (position + 1)
        return Neighbours(first, np.minimum(first + 1, self.size - 1), share, error)


@dataclass(frozen=True)
class Resample(Problem):
    n: int
    c: int
    h: Axis
    w: Axis
    interpolation: str
    align_corners: bool = False
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        sizes = f"{self.h.size}x{self.w.size}_to_{self.h.result}x{self.w.result}"
        scales = f"by_{self.h.scale}_{self.w.scale}" if self.h.scale else "by_size"
        corners = "_corners" if self.align_corners else ""
        return f"{self.n}x{self.c}-{sizes}-{scales}-{self.interpolation}{corners}"

    @property
    def shape(self) -> Shape:
        return {
            "n": self.n,
            "c": self.c,
            **{"h_in": self.h.size, "w_in": self.w.size},
            **{"h_out": self.h.result, "w_out": self.w.result},
            "interpolation": self.interpolation,
            "align_corners": self.align_corners,
            "ratio_h": float(self.h.ratio(self.align_corners)),
            "ratio_w": float(self.w.ratio(self.align_corners)),
            "x_pixel": self.c + self.x_gap,
            "y_pixel": self.c + self.y_gap,
        }

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Images]]:
        rng = generator("resample", self, kernel.dtype)
        x = rng.standard_normal((self.n, self.c, self.h.size, self.w.size)).astype(kernel.dtype)
        nothing = np.full((self.n, self.c, self.h.result * self.w.result), np.nan, kernel.dtype)
        yield "normal", Images(x, laid_out(nothing, "channels_last", self.y_gap, 7))

    def run(self, kernel: Kernel, operands: Images, *, threads: int) -> Results:
        x = operands.x.reshape(self.n, self.c, -1)
        given = laid_out(x, "channels_last", self.x_gap, np.nan)
        return {"y": kernel.run(given, operands.around, threads=threads, **self.shape)}

    def check(self, kernel: Kernel, operands: Images, results: Results, what: str) -> None:
        rows, columns = (
            axis.neighbours(self.interpolation, self.align_corners) for axis in (self.h, self.w)
        )
        x = operands.x.astype(np.float64)
        corners = [
            [x[:, :, each][..., other] for other in (columns.first, columns.second)]
            for each in (rows.first, rows.second)
        ]
        across, down = columns.share, rows.share[:, None]
        upper, lower = (left + across * (right - left) for left, right in corners)
        expected = upper + down * (lower - upper)
        size = np.abs(corners).max((0, 1))
        # Beside the two shares eight products and sums are rounded.
        off = columns.error + rows.error[:, None] + 8 * eps_of(kernel.dtype)
        tolerance = size * (0 if self.interpolation == "nearest" else 2 * off)
        limits = np.broadcast_to(tolerance, expected.shape)
        flat = (self.n, self.c, -1)
        assert_within(
            results["y"],
            laid_out(expected.reshape(flat), "channels_last", self.y_gap, 7),
            laid_out(limits.reshape(flat), "channels_last", self.y_gap, 0),
            what,
        )


def _each_way(n: int, c: int, h: Axis, w: Axis, x_gap: int = 0, y_gap: int = 0) -> list[Resample]:
    return [
        Resample(n, c, h, w, interpolation, align_corners, x_gap, y_gap)
        for interpolation, align_corners in (
            ("nearest", False),
            ("bilinear", False),
            ("bilinear", True),
        )
    ]


#: Channels around the widths of vectors; twice as large, larger, smaller, as large along one axis.
PROBLEMS = [
    *_each_way(1, 1, Axis(1, 1), Axis(1, 1)),
    *_each_way(1, 3, Axis(1, 4), Axis(1, 1)),
    *_each_way(2, 17, Axis(5, 10, 2.0), Axis(3, 6, 2.0), 1, 3),
    *_each_way(1, 33, Axis(7, 17), Axis(9, 4), 0, 16),
    *_each_way(1, 64, Axis(6, 9, 1.6), Axis(5, 11, 2.3), 5),
    *_each_way(3, 5, Axis(6, 6), Axis(8, 3, 0.4), 0, 2),
    *_each_way(1, 300, Axis(2, 3), Axis(3, 2)),
]

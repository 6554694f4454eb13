"""Max-pools of boxes: to the bit what csrc/pooling/roi_pool.h says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numerics import INPUT_KINDS, assert_same_bits, generator
from pools import SPECIAL_KINDS
from problem import Problem, Results
from windows import LAYOUTS, Pair, pack, unpack

#: Cases that tests have which do not need every size.
REPRESENTATIVE = ("channels_33", "three_images", "channels_100", "many_bins")


@dataclass(frozen=True)
class Boxes:
    """An image, and how many boxes there are of it."""

    name: str
    n: int
    c: int
    image: Pair
    count: int
    out: Pair
    scale: float = 1 / 16


class RoiOperands(NamedTuple):
    x: Array
    boxes: Array
    dy: Array
    #: What both passes give: y, argmax and dx.
    results: Results


@dataclass(frozen=True)
class RoiPool(Problem):
    case: Boxes
    layout: str

    def __str__(self) -> str:
        return f"{self.case.name}-{self.layout}"

    @property
    def representative(self) -> bool:
        return self.case.name in REPRESENTATIVE

    @property
    def shape(self) -> Shape:
        (h_in, w_in), (h_out, w_out) = self.case.image, self.case.out
        sizes = {"n": self.case.n, "c": self.case.c, "h_in": h_in, "w_in": w_in}
        bins = {"n_boxes": self.case.count, "h_out": h_out, "w_out": w_out}
        return {**sizes, **bins, "spatial_scale": self.case.scale, "layout": self.layout}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, RoiOperands]]:
        for kind in (*INPUT_KINDS, *SPECIAL_KINDS):
            yield kind, draw_and_pool(self.case, kind, kernel.dtype)

    def run(self, kernel: Kernel, operands: RoiOperands, *, threads: int) -> Results:
        options: dict[str, Any] = {"threads": threads, **self.shape}
        x, boxes, dy, expected = operands
        if kernel.direction == "forward":
            y, argmax = kernel.run(pack(x, self.layout), boxes, True, **options)
            alone, nothing = kernel.run(pack(x, self.layout), boxes, False, **options)
            assert nothing is None
            flat = {"y": y, "argmax": argmax, "y_alone": alone}
            return {name: values.reshape(dy.shape) for name, values in flat.items()}
        dx = kernel.run(dy, boxes, expected["argmax"], **options)
        return {"dx": unpack(dx, x.shape, self.layout)}

    def check(self, kernel: Kernel, operands: RoiOperands, results: Results, what: str) -> None:
        for name, result in results.items():
            expected = operands.results[name.removesuffix("_alone")]
            assert_same_bits(result, expected, f"{name}, {what}")


def draw_boxes(case: Boxes, rng: np.random.Generator, dtype: str) -> Array:
    """On, over and outside of the border, some without an area, some with corners on halves."""
    height, width = (size / case.scale for size in case.image)
    corners = (rng.random((case.count, 4)) * 2 - 0.5) * [width, height, width, height]
    halves = (np.round(corners * case.scale) + 0.5) / case.scale
    corners = np.where(rng.random((case.count, 1)) < 0.3, halves, corners)
    if case.count > 3:
        corners[0] = [0, 0, width, height]
        corners[1] = [-3e30, -1e20, 3e30, 1e25]
        corners[2] = corners[3, [2, 3, 0, 1]]
    images = rng.integers(0, case.n, (case.count, 1))
    return np.concatenate((images, corners), 1).astype(dtype)


def _bins(first: Array, last: Array, count: int, size: int) -> tuple[Array, Array]:
    """Where the bins of boxes begin and end along an axis, in the boxes' dtype."""
    dtype = first.dtype.type
    step = np.maximum(last - first + dtype(1), dtype(1)) / dtype(count)
    i = np.arange(count + 1).astype(dtype)
    begin = np.floor(i[:-1] * step[:, None]) + first[:, None]
    end = np.ceil(i[1:] * step[:, None]) + first[:, None]
    return tuple(edge.clip(0, size).astype(np.int64) for edge in (begin, end))


@cache
def draw_and_pool(case: Boxes, kind: str, dtype: str) -> RoiOperands:
    """The gradient of the output is of whole numbers, whose sums are exact in any order."""
    rng = generator("roi pool", case, kind, dtype)
    shape = (case.n, case.c, *case.image)
    draw = SPECIAL_KINDS.get(kind)
    x = draw(rng, shape, dtype) if draw else INPUT_KINDS[kind](rng, shape).astype(dtype)
    boxes = draw_boxes(case, rng, dtype)
    dy = rng.integers(-8, 8, (case.count, case.c, *case.out)).astype(dtype)

    scaled = boxes[:, 1:] * x.dtype.type(case.scale)
    left, top, right, bottom = (np.copysign(np.floor(abs(scaled) + 0.5), scaled)).T
    rows = np.stack(_bins(top, bottom, case.out[0], case.image[0]), -1)
    columns = np.stack(_bins(left, right, case.out[1], case.image[1]), -1)
    y, dx = np.zeros_like(dy), np.zeros((case.n, case.c, case.image[0] * case.image[1]), dtype)
    argmax = np.full(dy.shape, -1, np.int32)
    of_channels = np.arange(case.c)
    for k, i, j in np.ndindex(case.count, *case.out):
        (h, h_end), (w, w_end) = rows[k, i], columns[k, j]
        if h >= h_end or w >= w_end:
            continue
        image = int(boxes[k, 0])
        window = x[image, :, h:h_end, w:w_end].reshape(case.c, -1)
        least = np.finfo(dtype).min
        numbers = np.where(window > least, window, least)
        at = numbers.argmax(1)
        y[k, :, i, j] = numbers[of_channels, at]
        found = numbers[of_channels, at] > least
        position = (h + at // (w_end - w)) * case.image[1] + w + at % (w_end - w)
        argmax[k, :, i, j] = np.where(found, position, -1)
        dx[image, of_channels[found], position[found]] += dy[k, found, i, j]
    return RoiOperands(x, boxes, dy, {"y": y, "argmax": argmax, "dx": dx.reshape(shape)})


CASES = [
    *(Boxes(f"channels_{c}", 2, c, (5, 7), 9, (3, 2)) for c in SIZES),
    *(Boxes(f"width_{width}", 1, 3, (4, width), 5, (2, 3)) for width in SIZES),
    Boxes("one_box", 1, 2, (6, 5), 1, (2, 2)),
    Boxes("no_box", 2, 17, (6, 5), 0, (2, 2)),
    Boxes("one_position", 2, 3, (1, 1), 6, (2, 3)),
    Boxes("one_bin", 2, 5, (9, 8), 7, (1, 1)),
    Boxes("many_bins", 1, 5, (6, 7), 4, (13, 11), 0.3),
    Boxes("three_images", 3, 20, (11, 9), 17, (7, 7), 1 / 8),
    Boxes("channels_100", 1, 100, (12, 13), 6, (4, 3), 1.0),
]

PROBLEMS = {"roi_pool": [RoiPool(case, layout) for case in CASES for layout in LAYOUTS]}

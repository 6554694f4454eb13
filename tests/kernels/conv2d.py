"""conv2d: the formulas of csrc/conv2d/conv2d.h."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numpy.lib.stride_tricks import as_strided
from problem import Operands, Results, Sums, with_gaps, without_gaps
from windows import (
    LAYOUTS,
    Pair,
    Windows,
    pack,
    sliding_fields,
    sliding_windows,
    unpack,
)

#: How much larger than those of a plain sum the errors of Winograd's transforms are, at most.
WINOGRAD_GROWTH = 8

#: Cases that tests have which do not need every size.
REPRESENTATIVE = (
    *("even_kernel", "3x3_s2", "dilation", "groups_of_17", "depthwise_33_s2"),
    *("1x1_deep", "3x3_panels", "3x3_s2_rounds", "5x5_rounds", "depthwise_large"),
    *("pooled_3x3", "pooled_5x5"),
)


@dataclass(frozen=True)
class Conv2d(Sums):
    name: str
    n: int
    c_in: int
    image: Pair
    c_out: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pooled: bool = False
    large: bool = False
    # That of x and y is no part of what is drawn and computed.
    layout: str = field(default="nchw", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name}-{self.layout}"

    @property
    def representative(self) -> bool:
        return self.name in REPRESENTATIVE

    @property
    def shape(self) -> Shape:
        channels = {"c_in": self.c_in, "c_out": self.c_out, "groups": self.groups}
        how = {"layout": self.layout, "pooled": self.pooled}
        return {"n": self.n, **how, **channels, **sliding_fields(self)}

    @cached_property
    def windows(self) -> Windows:
        return sliding_windows(self)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "x": (self.n, self.c_in, *self.image),
            "w": (self.c_out, self.c_in // self.groups, *self.kernel),
            "y": (self.n, self.c_out, *self.windows.out),
        }

    def terms(self, direction: str) -> int:
        c_out, c_in, *taps = self.shapes["w"]
        return {
            "forward": c_in * math.prod(taps) + 1,
            "bwd_input": c_out // self.groups * math.prod(taps),
            "bwd_weight": self.n * math.prod(self.windows.out),
        }[direction]

    def exact(self, direction: str, operands: Operands) -> Array:
        """The sums are written as einsum over windows and groups."""
        g, c_in, c_out, out = self.groups, self.c_in, self.c_out, self.windows.out
        x = operands.x.reshape(self.n, g, c_in // g, *self.image)
        w = operands.w.reshape(g, c_out // g, c_in // g, *self.kernel)
        dy = operands.dy.reshape(self.n, g, c_out // g, *out)
        if direction == "bwd_input":
            terms = np.einsum("ngkij,gkcrs->ngcijrs", dy, w, optimize=True)
            return self.windows.scatter(terms).reshape(operands.x.shape)
        x_windows = self.windows.gather(x, outside=0)
        if direction == "bwd_weight":
            dw = np.einsum("ngkij,ngcijrs->gkcrs", dy, x_windows, optimize=True)
            return dw.reshape(operands.w.shape)
        y = np.einsum("ngcijrs,gkcrs->ngkij", x_windows, w, optimize=True)
        y = y.reshape(operands.dy.shape)
        return y if operands.b is None else y + operands.b[:, None, None]

    def limits(self, kernel: Kernel, tolerance: Array) -> Array:
        """Winograd's transforms mix the values of a tile, in the weight gradient with all that the
        tile reads: there an error is proportional to the largest sum around, not to its own."""
        if "winograd" not in kernel.name:
            return tolerance
        whole = kernel.direction == "bwd_weight"
        finite = np.where(np.isfinite(tolerance), tolerance, 0)
        around = finite.max(axis=None if whole else (-2, -1), keepdims=True)
        return np.broadcast_to(WINOGRAD_GROWTH * around, tolerance.shape)

    def stored(self, result: Array, tolerance: Array) -> tuple[Array, Array]:
        """A maximum is off by no more than what is off most in its window."""
        if not self.pooled:
            return result, tolerance
        return max_pool(result), max_pool(np.where(np.isfinite(result), tolerance, 0))

    def run(self, kernel: Kernel, operands: Operands, *, threads: int) -> Results:
        x, dy = (pack(a, self.layout) for a in (operands.x, operands.dy))
        w_shape, filters = operands.w.shape, operands.filters
        x = with_gaps(x, operands.x_pixel)
        packed = replace(operands, x=x, w=pack_filter(operands.w, filters), dy=dy)
        flat = kernel.run(
            *packed.read_by(kernel.direction),
            threads=threads,
            w_strides=filter_strides(w_shape, filters),
            **operands.options(),
            **operands.finish(lambda a: pack(a, self.layout)),
            **self.shape,
        )
        if kernel.direction == "bwd_weight":
            return {"result": filter_view(flat, w_shape, filters)}
        if operands.y_pixel:
            flat = without_gaps(flat, self.c_out, operands.y_pixel)
        shape = self.shapes["y" if kernel.direction == "forward" else "x"]
        if self.pooled:
            shape = (*shape[:2], shape[2] // 2, shape[3] // 2)
        return {"result": unpack(flat, shape, self.layout)}


def max_pool(y: Array) -> Array:
    """The maxima of windows of 2x2, one beside the other; NaN is one."""
    n, c, h, w = y.shape
    windows = y[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)
    return windows.max(axis=(3, 5))


def filter_strides(shape: tuple[int, ...], order: str) -> tuple[int, ...]:
    """The strides of the dimensions o, i, h and w of filters that lie in memory in an order of
    these letters or, with "gaps", in this one with unused elements between all others."""
    gap, order = (2, "oihw") if order == "gaps" else (1, order)
    sizes = dict(zip("oihw", shape, strict=True))
    strides, stride = {}, 1
    for dimension in reversed(order):
        strides[dimension] = stride
        stride *= gap * sizes[dimension]
    return tuple(strides[dimension] for dimension in "oihw")


def filter_view(flat: Array, shape: tuple[int, ...], order: str) -> Array:
    strides = [stride * flat.itemsize for stride in filter_strides(shape, order)]
    return as_strided(flat, shape, strides)


def pack_filter(w: Array, order: str) -> Array:
    sizes = zip(w.shape, filter_strides(w.shape, order), strict=True)
    flat = np.full(1 + sum((size - 1) * stride for size, stride in sizes), np.nan, w.dtype)
    filter_view(flat, w.shape, order)[...] = w
    return flat


def _around_vector_widths() -> list[Conv2d]:
    """Sizes around one to four vectors as channels in, out and width, in changing company."""
    cases = []
    sizes = (*SIZES, 47, 49, 63, 65)
    for i, size in enumerate(sizes):
        c_out, width = sizes[i - 1], sizes[i - 4]
        name, depthwise = f"{size}_to_{c_out}@{width}", f"depthwise_{size}@{width}"
        cases += [
            Conv2d(f"3x3_{name}", 2, size, (3, width), c_out, (3, 3), padding=(1, 1)),
            Conv2d(f"1x1_{name}", 2, size, (2, width), c_out, (1, 1)),
            Conv2d(depthwise, 2, size, (4, width), size, (3, 3), padding=(1, 1), groups=size),
        ]
    return cases


CASES = [
    *_around_vector_widths(),
    Conv2d("one_element", 1, 1, (1, 1), 1, (1, 1)),
    Conv2d("no_padding", 2, 4, (7, 9), 5, (3, 3)),
    Conv2d("3x3_batch", 7, 3, (5, 5), 4, (3, 3), padding=(1, 1)),
    Conv2d("1x7", 1, 5, (6, 12), 6, (1, 7), padding=(0, 3)),
    Conv2d("7x1", 1, 5, (12, 6), 6, (7, 1), padding=(3, 0)),
    Conv2d("even_kernel", 2, 3, (8, 9), 4, (2, 4), padding=(1, 2)),
    Conv2d("kernel_is_image", 2, 3, (5, 6), 7, (5, 6)),
    Conv2d("image_is_all_padding", 1, 2, (1, 1), 3, (2, 2), padding=(2, 2)),
    Conv2d("more_padding_than_kernel", 1, 2, (4, 3), 3, (2, 1), padding=(3, 2)),
    Conv2d("stem_7x7_s2", 1, 3, (18, 21), 20, (7, 7), stride=(2, 2), padding=(3, 3)),
    Conv2d("3x3_s2", 2, 9, (11, 14), 8, (3, 3), stride=(2, 2), padding=(1, 1)),
    Conv2d("2x3_s3x2", 1, 4, (10, 13), 6, (2, 3), stride=(3, 2), padding=(0, 1)),
    Conv2d("1x1_s2", 2, 17, (7, 8), 9, (1, 1), stride=(2, 2)),
    Conv2d("stride_above_kernel", 1, 3, (13, 17), 5, (2, 2), stride=(4, 5)),
    Conv2d("stride_above_image", 1, 3, (2, 3), 5, (1, 1), stride=(4, 5)),
    Conv2d("dilation", 1, 5, (12, 13), 6, (3, 2), padding=(2, 1), dilation=(2, 3)),
    Conv2d("dilation_far_apart", 1, 5, (26, 6), 6, (3, 2), padding=(9, 2), dilation=(9, 4)),
    Conv2d("dilation_4_s2", 1, 2, (15, 16), 3, (3, 3), (2, 2), padding=(4, 4), dilation=(4, 4)),
    Conv2d("dilation_3_s2", 1, 2, (15, 16), 3, (3, 3), (2, 2), padding=(3, 3), dilation=(3, 3)),
    Conv2d("dilation_2_s6x4", 1, 2, (15, 16), 3, (4, 3), (6, 4), padding=(1, 2), dilation=(4, 2)),
    Conv2d("groups", 2, 6, (5, 6), 9, (3, 3), padding=(1, 1), groups=3),
    Conv2d("groups_of_17", 1, 34, (4, 5), 66, (3, 3), stride=(2, 1), padding=(1, 1), groups=2),
    Conv2d("1x1_groups", 1, 18, (4, 5), 34, (1, 1), groups=2),
    Conv2d("depthwise_33_s2", 1, 33, (9, 10), 33, (3, 3), (2, 2), padding=(1, 1), groups=33),
    Conv2d("depthwise_even", 1, 9, (8, 9), 9, (2, 4), padding=(1, 2), groups=9),
    Conv2d("depthwise_sparse", 2, 5, (13, 17), 5, (3, 2), (2, 4), (2, 0), (3, 1), groups=5),
    Conv2d("depthwise_x2", 1, 8, (5, 17), 16, (5, 5), padding=(2, 2), groups=8),
    Conv2d("5x5", 2, 9, (9, 14), 8, (5, 5), padding=(2, 2)),
    Conv2d("5x5_full_padding", 1, 17, (5, 4), 33, (5, 5), padding=(4, 3)),
    Conv2d("3x3_full_padding", 1, 9, (6, 5), 17, (3, 3), padding=(2, 2)),
    Conv2d("3x3_four_tiles_wide", 1, 9, (15, 16), 10, (3, 3), padding=(1, 1)),
    Conv2d("3x3_long_rows", 1, 9, (3, 83), 9, (3, 3), padding=(1, 1)),
    Conv2d("3x3_short_rows", 3, 8, (30, 3), 9, (3, 3), padding=(1, 1)),
    # Whole vectors of channels.
    Conv2d("3x3_s2_of_16", 2, 16, (9, 11), 34, (3, 3), stride=(2, 2), padding=(1, 1)),
    Conv2d("2x3_dilated_of_48", 1, 48, (6, 20), 17, (2, 3), padding=(1, 2), dilation=(2, 3)),
    Conv2d("pooled_3x3", 2, 9, (9, 11), 10, (3, 3), padding=(1, 1), pooled=True),
    Conv2d("pooled_3x3_short_rows", 2, 17, (11, 14), 33, (3, 3), padding=(1, 1), pooled=True),
    Conv2d("pooled_3x3_long_rows", 1, 9, (6, 83), 8, (3, 3), padding=(1, 1), pooled=True),
    Conv2d("pooled_3x3_full_padding", 1, 9, (6, 5), 17, (3, 3), padding=(2, 2), pooled=True),
    Conv2d("pooled_5x5", 2, 6, (14, 14), 16, (5, 5), pooled=True),
    Conv2d("pooled_5x5_odd", 1, 9, (9, 15), 17, (5, 5), padding=(2, 2), pooled=True),
    Conv2d("pooled_5x5_of_one", 1, 1, (13, 14), 6, (5, 5), padding=(2, 2), pooled=True),
    Conv2d("pooled_stem", 1, 3, (18, 21), 20, (7, 7), (2, 2), padding=(3, 3), pooled=True),
    Conv2d("pooled_groups", 2, 6, (5, 7), 27, (3, 3), padding=(1, 1), groups=3, pooled=True),
    Conv2d("pooled_window", 2, 8, (2, 3), 9, (1, 1), pooled=True),
    # Where strides of different dimensions coincide.
    Conv2d("3x3_of_3", 1, 3, (5, 6), 3, (3, 3), padding=(1, 1)),
    Conv2d("2x3_of_6", 1, 6, (5, 6), 6, (2, 3), stride=(1, 2)),
]

LARGE = [
    Conv2d("1x1_deep", 2, 260, (3, 5), 34, (1, 1)),
    Conv2d("1x1_large", 1, 9, (5, 77), 34, (1, 1)),
    Conv2d("1x1_wide", 2, 9, (3, 4), 420, (1, 1)),
    Conv2d("1x1_deep_wide", 1, 300, (1, 3), 1300, (1, 1)),
    Conv2d("1x1_wide_deep", 1, 1300, (1, 3), 300, (1, 1)),
    Conv2d("1x1_deep_large", 1, 300, (13, 100), 3, (1, 1)),
    Conv2d("1x1_wide_large", 1, 3, (13, 100), 300, (1, 1)),
    Conv2d("3x3_panels", 1, 20, (9, 10), 150, (3, 3), padding=(1, 1)),
    Conv2d("3x3_chunks", 1, 150, (9, 10), 40, (3, 3), padding=(1, 1)),
    Conv2d("3x3_rounds", 2, 9, (50, 45), 10, (3, 3)),
    Conv2d("5x5_rounds", 1, 9, (31, 35), 34, (5, 5), padding=(2, 2)),
    Conv2d("3x3_s2_rounds", 2, 48, (40, 39), 70, (3, 3), stride=(2, 2), padding=(1, 1)),
    Conv2d("3x3_small_images", 5, 40, (5, 5), 70, (3, 3), padding=(1, 1)),
    Conv2d("1x1_s2_wide_deep", 1, 272, (5, 7), 300, (1, 1), stride=(2, 2)),
    Conv2d("3x1_large_x", 1, 8, (90, 150), 1, (3, 1), padding=(1, 0)),
    Conv2d("3x1_large_y", 1, 1, (90, 150), 8, (3, 1), padding=(1, 0)),
    Conv2d("depthwise_large", 1, 70, (16, 40), 70, (3, 3), padding=(1, 1), groups=70),
    Conv2d("pooled_3x3_rounds", 2, 9, (51, 46), 34, (3, 3), pooled=True),
    Conv2d("pooled_3x3_chunks", 1, 150, (9, 10), 70, (3, 3), padding=(1, 1), pooled=True),
]

#: All in both layouts.
PROBLEMS = [
    replace(case, layout=layout, large=case in LARGE)
    for case in CASES + LARGE
    for layout in LAYOUTS
]


def named(*names: str) -> list[Conv2d]:
    assert {*names} <= {problem.name for problem in PROBLEMS}
    return [problem for problem in PROBLEMS if problem.name in names]

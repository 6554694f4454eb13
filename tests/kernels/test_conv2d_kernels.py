"""Every conv2d kernel against the formulas of csrc/conv2d/conv2d.h in float64."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, assert_within, generator, magnitudes, sum_tolerance, wide
from numpy.lib.stride_tricks import as_strided
from windows import LAYOUTS, Windows, axes, axis_fields, pack, unpack


@dataclass(frozen=True)
class Case:
    name: str
    n: int
    c_in: int
    image: tuple[int, int]
    c_out: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.n, self.c_in, *self.image)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.c_out, self.c_in // self.groups, *self.kernel)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.n, self.c_out, *(axis.out for axis in axes(self)))

    def shape(self, layout: str) -> Shape:
        channels = {"c_in": self.c_in, "c_out": self.c_out, "groups": self.groups}
        return {"n": self.n, "layout": layout, **channels, **axis_fields(self)}


def _around_vector_widths() -> list[Case]:
    """Sizes around one to four vectors as channels in, out and width, in changing company."""
    cases = []
    sizes = (*SIZES, 47, 49, 63, 65)
    for i, size in enumerate(sizes):
        c_out, width = sizes[i - 1], sizes[i - 4]
        name, depthwise = f"{size}_to_{c_out}@{width}", f"depthwise_{size}@{width}"
        cases += [
            Case(f"3x3_{name}", 2, size, (3, width), c_out, (3, 3), padding=(1, 1)),
            Case(f"1x1_{name}", 2, size, (2, width), c_out, (1, 1)),
            Case(depthwise, 2, size, (4, width), size, (3, 3), padding=(1, 1), groups=size),
        ]
    return cases


CASES = [
    *_around_vector_widths(),
    Case("one_element", 1, 1, (1, 1), 1, (1, 1)),
    Case("no_padding", 2, 4, (7, 9), 5, (3, 3)),
    Case("3x3_batch", 7, 3, (5, 5), 4, (3, 3), padding=(1, 1)),
    Case("1x7", 1, 5, (6, 12), 6, (1, 7), padding=(0, 3)),
    Case("7x1", 1, 5, (12, 6), 6, (7, 1), padding=(3, 0)),
    Case("even_kernel", 2, 3, (8, 9), 4, (2, 4), padding=(1, 2)),
    Case("kernel_is_image", 2, 3, (5, 6), 7, (5, 6)),
    Case("image_is_all_padding", 1, 2, (1, 1), 3, (2, 2), padding=(2, 2)),
    Case("more_padding_than_kernel", 1, 2, (4, 3), 3, (2, 1), padding=(3, 2)),
    Case("stem_7x7_s2", 1, 3, (18, 21), 20, (7, 7), stride=(2, 2), padding=(3, 3)),
    Case("3x3_s2", 2, 9, (11, 14), 8, (3, 3), stride=(2, 2), padding=(1, 1)),
    Case("2x3_s3x2", 1, 4, (10, 13), 6, (2, 3), stride=(3, 2), padding=(0, 1)),
    Case("1x1_s2", 2, 17, (7, 8), 9, (1, 1), stride=(2, 2)),
    Case("stride_above_kernel", 1, 3, (13, 17), 5, (2, 2), stride=(4, 5)),
    Case("stride_above_image", 1, 3, (2, 3), 5, (1, 1), stride=(4, 5)),
    Case("dilation", 1, 5, (12, 13), 6, (3, 2), padding=(2, 1), dilation=(2, 3)),
    Case("dilation_far_apart", 1, 5, (26, 6), 6, (3, 2), padding=(9, 2), dilation=(9, 4)),
    Case("dilation_4_s2", 1, 2, (15, 16), 3, (3, 3), (2, 2), padding=(4, 4), dilation=(4, 4)),
    Case("dilation_3_s2", 1, 2, (15, 16), 3, (3, 3), (2, 2), padding=(3, 3), dilation=(3, 3)),
    Case("dilation_2_s6x4", 1, 2, (15, 16), 3, (4, 3), (6, 4), padding=(1, 2), dilation=(4, 2)),
    Case("groups", 2, 6, (5, 6), 9, (3, 3), padding=(1, 1), groups=3),
    Case("groups_of_17", 1, 34, (4, 5), 66, (3, 3), stride=(2, 1), padding=(1, 1), groups=2),
    Case("1x1_groups", 1, 18, (4, 5), 34, (1, 1), groups=2),
    Case("depthwise_33_s2", 1, 33, (9, 10), 33, (3, 3), (2, 2), padding=(1, 1), groups=33),
    Case("depthwise_even", 1, 9, (8, 9), 9, (2, 4), padding=(1, 2), groups=9),
    Case("depthwise_sparse", 2, 5, (13, 17), 5, (3, 2), (2, 4), (2, 0), (3, 1), groups=5),
    Case("depthwise_x2", 1, 8, (5, 17), 16, (5, 5), padding=(2, 2), groups=8),
    Case("5x5", 2, 9, (9, 14), 8, (5, 5), padding=(2, 2)),
    Case("5x5_full_padding", 1, 17, (5, 4), 33, (5, 5), padding=(4, 3)),
    Case("3x3_full_padding", 1, 9, (6, 5), 17, (3, 3), padding=(2, 2)),
    Case("3x3_four_tiles_wide", 1, 9, (15, 16), 10, (3, 3), padding=(1, 1)),
    Case("3x3_long_rows", 1, 9, (3, 83), 9, (3, 3), padding=(1, 1)),
    Case("3x3_short_rows", 3, 8, (30, 3), 9, (3, 3), padding=(1, 1)),
    # Whole vectors of channels.
    Case("3x3_s2_of_16", 2, 16, (9, 11), 34, (3, 3), stride=(2, 2), padding=(1, 1)),
    Case("2x3_dilated_of_48", 1, 48, (6, 20), 17, (2, 3), padding=(1, 2), dilation=(2, 3)),
    # Where strides of different dimensions coincide.
    Case("3x3_of_3", 1, 3, (5, 6), 3, (3, 3), padding=(1, 1)),
    Case("2x3_of_6", 1, 6, (5, 6), 6, (2, 3), stride=(1, 2)),
]

#: Beyond the kernels' blocks of each dimension, to go through more than one.
LARGE = [
    Case("1x1_deep", 2, 260, (3, 5), 34, (1, 1)),
    Case("1x1_large", 1, 9, (5, 77), 34, (1, 1)),
    Case("1x1_wide", 2, 9, (3, 4), 420, (1, 1)),
    Case("1x1_deep_wide", 1, 300, (1, 3), 1300, (1, 1)),
    Case("1x1_wide_deep", 1, 1300, (1, 3), 300, (1, 1)),
    Case("1x1_deep_large", 1, 300, (13, 100), 3, (1, 1)),
    Case("1x1_wide_large", 1, 3, (13, 100), 300, (1, 1)),
    Case("3x3_panels", 1, 20, (9, 10), 150, (3, 3), padding=(1, 1)),
    Case("3x3_chunks", 1, 150, (9, 10), 40, (3, 3), padding=(1, 1)),
    Case("3x3_rounds", 2, 9, (50, 45), 10, (3, 3)),
    Case("5x5_rounds", 1, 9, (31, 35), 34, (5, 5), padding=(2, 2)),
    Case("3x3_s2_rounds", 2, 48, (40, 39), 70, (3, 3), stride=(2, 2), padding=(1, 1)),
    Case("3x3_small_images", 5, 40, (5, 5), 70, (3, 3), padding=(1, 1)),
    Case("1x1_s2_wide_deep", 1, 272, (5, 7), 300, (1, 1), stride=(2, 2)),
    Case("3x1_large_x", 1, 8, (90, 150), 1, (3, 1), padding=(1, 0)),
    Case("3x1_large_y", 1, 1, (90, 150), 8, (3, 1), padding=(1, 0)),
    Case("depthwise_large", 1, 70, (16, 40), 70, (3, 3), padding=(1, 1), groups=70),
]


class Memory(NamedTuple):
    """How activations and filters lie in memory."""

    layout: str
    filters: str  # a permutation of oihw, or gaps: oihw with unused elements between all others

    def __str__(self) -> str:
        return f"{self.layout}-{self.filters}"

    def filter_strides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides of the dimensions o, i, h and w, in this order."""
        gap, order = (2, "oihw") if self.filters == "gaps" else (1, self.filters)
        sizes = dict(zip("oihw", shape, strict=True))
        strides, stride = {}, 1
        for dimension in reversed(order):
            strides[dimension] = stride
            stride *= gap * sizes[dimension]
        return tuple(strides[dimension] for dimension in "oihw")

    def filter_view(self, flat: Array, shape: tuple[int, ...]) -> Array:
        strides = [stride * flat.itemsize for stride in self.filter_strides(shape)]
        return as_strided(flat, shape, strides)

    def pack_filter(self, w: Array) -> Array:
        sizes = zip(w.shape, self.filter_strides(w.shape), strict=True)
        flat = np.full(1 + sum((size - 1) * stride for size, stride in sizes), np.nan, w.dtype)
        self.filter_view(flat, w.shape)[...] = w
        return flat


class Operands(NamedTuple):
    x: Array
    w: Array
    b: Array | None
    dy: Array


@cache
def draw(case: Case, kind: str, dtype: str, bias: bool = True) -> Operands:
    rng = generator("conv2d", case, kind, dtype)
    activations = INPUT_KINDS[kind]
    return Operands(
        activations(rng, case.x_shape).astype(dtype),
        rng.standard_normal(case.w_shape).astype(dtype),
        rng.standard_normal(case.c_out).astype(dtype) if bias else None,
        activations(rng, case.y_shape).astype(dtype),
    )


def exact(case: Case, direction: str, operands: Operands) -> Array:
    """The contract's formula, its sums written as einsum over windows and groups."""
    g = case.groups
    windows = Windows(case, case.y_shape[2:])
    x, w, b, dy = wide(operands)
    w = w.reshape(g, case.c_out // g, *case.w_shape[1:])
    dy = dy.reshape(case.n, g, case.c_out // g, *case.y_shape[2:])
    if direction == "bwd_input":
        terms = np.einsum("ngkij,gkcrs->ngcijrs", dy, w, optimize=True)
        return windows.scatter(terms).reshape(case.x_shape)
    x_windows = windows.gather(x.reshape(case.n, g, case.c_in // g, *case.image), outside=0)
    if direction == "bwd_weight":
        dw = np.einsum("ngkij,ngcijrs->gkcrs", dy, x_windows, optimize=True)
        return dw.reshape(case.w_shape)
    y = np.einsum("ngcijrs,gkcrs->ngkij", x_windows, w, optimize=True).reshape(case.y_shape)
    return y if b is None else y + b[:, None, None]


#: How much larger than those of a plain sum the errors of Winograd's transforms are, at most.
WINOGRAD_GROWTH = 8


def reference(kernel: Kernel, case: Case, kind: str, bias: bool = True) -> tuple[Array, Array]:
    """The exact result and its tolerance.

    Winograd's transforms mix the values of a tile, in the weight gradient with all that the tile
    reads: there an error is proportional to the largest sum around, not to the element's own.
    """
    expected, tolerance = _reference(case, kernel.direction, kind, kernel.dtype, bias)
    if "winograd" in kernel.name:
        whole = kernel.direction == "bwd_weight"
        around = tolerance.max(axis=None if whole else (-2, -1), keepdims=True)
        tolerance = np.broadcast_to(WINOGRAD_GROWTH * around, expected.shape)
    return expected, tolerance


@cache
def _reference(
    case: Case, direction: str, kind: str, dtype: str, bias: bool
) -> tuple[Array, Array]:
    operands = draw(case, kind, dtype, bias)
    taps = case.kernel[0] * case.kernel[1]
    length = {
        "forward": case.c_in // case.groups * taps + bias,
        "bwd_input": case.c_out // case.groups * taps,
        "bwd_weight": case.n * case.y_shape[2] * case.y_shape[3],
    }[direction]
    magnitude = exact(case, direction, Operands(*magnitudes(operands)))
    tolerance = sum_tolerance(magnitude, length, dtype)
    return exact(case, direction, operands), tolerance


def run(kernel: Kernel, case: Case, memory: Memory, operands: Operands, threads: int) -> Array:
    x, dy = (pack(a, memory.layout) for a in (operands.x, operands.dy))
    w = memory.pack_filter(operands.w)
    arrays = {"forward": (x, w, operands.b), "bwd_input": (dy, w), "bwd_weight": (dy, x)}
    flat = kernel.run(
        *arrays[kernel.direction],
        threads=threads,
        w_strides=memory.filter_strides(case.w_shape),
        **case.shape(memory.layout),
    )
    if kernel.direction == "bwd_weight":
        return memory.filter_view(flat, case.w_shape)
    return unpack(
        flat, case.y_shape if kernel.direction == "forward" else case.x_shape, memory.layout
    )


def variants(cases: list[Case], memories: list[Memory]) -> dict[str, tuple[Shape, list[object]]]:
    return {
        f"{case.name}-{memory}": (case.shape(memory.layout), [case, memory])
        for case in cases
        for memory in memories
    }


def named(*names: str) -> list[Case]:
    found = [case for case in CASES + LARGE if case.name in names]
    assert len(found) == len(names)
    return found


NATURAL = [Memory("nchw", "oihw"), Memory("channels_last", "ohwi")]
MIXED = [Memory("nchw", "ohwi"), Memory("channels_last", "oihw")]
GAPS = [Memory(layout, "gaps") for layout in LAYOUTS]
SOME_CASES = named(
    *("even_kernel", "3x3_s2", "dilation", "groups_of_17", "depthwise_33_s2"),
    *("1x1_deep", "3x3_panels", "3x3_s2_rounds", "5x5_rounds", "depthwise_large"),
)


@pytest.mark.parametrize(
    "kernel, case, memory",
    [
        *each_kernel("conv2d", variants=variants(CASES, NATURAL)),
        *each_kernel("conv2d", variants=variants(LARGE, NATURAL), references=False),
    ],
)
def test_agrees_with_float64(kernel: Kernel, case: Case, memory: Memory) -> None:
    for i, (kind, threads) in enumerate(zip(INPUT_KINDS, THREADS, strict=True)):
        bias = kernel.direction == "forward" and i % 2 == 0
        operands = draw(case, kind, kernel.dtype, bias)
        expected, tolerance = reference(kernel, case, kind, bias)
        actual = run(kernel, case, memory, operands, threads)
        assert_within(actual, expected, tolerance, f"{kind}, bias {bias}, {threads} threads")


@pytest.mark.parametrize(
    "kernel, case, memory",
    [
        *each_kernel("conv2d", "forward", "bwd_input", variants=variants(SOME_CASES, MIXED + GAPS)),
        *each_kernel("conv2d", "bwd_weight", variants=variants(SOME_CASES, MIXED)),
    ],
)
def test_layout_of_the_filter(kernel: Kernel, case: Case, memory: Memory) -> None:
    operands = draw(case, "normal", kernel.dtype)
    expected, tolerance = reference(kernel, case, "normal")
    assert_within(run(kernel, case, memory, operands, threads=2), expected, tolerance, "result")


@pytest.mark.parametrize(
    "kernel, case, memory",
    each_kernel(
        "conv2d",
        "forward",
        "bwd_input",
        variants=variants(
            named(
                *("3x3_of_3", "3x3_full_padding", "2x3_of_6", "1x1_wide", "depthwise_even"),
                "2x3_dilated_of_48",
            ),
            NATURAL,
        ),
    ),
)
def test_any_strides_of_the_filter(kernel: Kernel, case: Case, memory: Memory) -> None:
    operands = draw(case, "normal", kernel.dtype)
    expected, tolerance = reference(kernel, case, "normal")
    for order in map("".join, itertools.permutations("oihw")):
        actual = run(kernel, case, memory._replace(filters=order), operands, threads=2)
        assert_within(actual, expected, tolerance, order)


@pytest.mark.parametrize(
    "kernel, case, memory", each_kernel("conv2d", variants=variants(SOME_CASES, NATURAL))
)
def test_same_threads_same_bits(kernel: Kernel, case: Case, memory: Memory) -> None:
    operands = draw(case, "normal", kernel.dtype)
    for threads in THREADS[-1:]:
        first, second = (run(kernel, case, memory, operands, threads) for _ in range(2))
        assert_same_bits(second, first, f"the second of two runs with {threads} threads")


@pytest.mark.parametrize(
    "kernel, case, memory", each_kernel("conv2d", variants=variants(SOME_CASES, NATURAL))
)
def test_nan_and_inf_reach_what_reads_them(kernel: Kernel, case: Case, memory: Memory) -> None:
    operands = draw(case, "normal", kernel.dtype)
    operands = operands._replace(x=operands.x.copy(), dy=operands.dy.copy())
    special = operands.dy if kernel.direction == "bwd_input" else operands.x
    rng = generator("conv2d specials", case)
    special.flat[rng.choice(special.size, 3, replace=False)] = (np.nan, np.inf, -np.inf)
    with np.errstate(invalid="ignore"):
        expected = exact(case, kernel.direction, operands)
    _, tolerance = reference(kernel, case, "normal")
    assert_within(run(kernel, case, memory, operands, threads=2), expected, tolerance, "result")

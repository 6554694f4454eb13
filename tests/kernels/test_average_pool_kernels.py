"""Every kernel of avg_pool2d and adaptive_avg_pool2d against csrc/pooling/average.h."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, each_kernel
from numerics import INPUT_KINDS, assert_within, generator, sum_tolerance
from windows import LAYOUTS, pack, unpack

Pair = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A pool as two matrices: y = rows @ x @ columns.T, of each plane."""

    name: str
    n: int
    c: int
    image: Pair
    out: Pair

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.n, self.c, *self.image)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.n, self.c, *self.out)

    def shape(self, layout: str) -> Shape:
        sizes = {"h_in": self.image[0], "w_in": self.image[1], "layout": layout}
        return {"n": self.n, "c": self.c, "h_out": self.out[0], "w_out": self.out[1], **sizes}

    def axis(self, d: int) -> tuple[Array, Array]:
        """Whether window i holds position p, [i, p], and what the divisor counts along it, [i]."""
        raise NotImplementedError

    divisor_override = 0

    @cached_property
    def matrices(self) -> tuple[Array, Array]:
        (rows, row_extents), (columns, column_extents) = self.axis(0), self.axis(1)
        if self.divisor_override:
            return rows / self.divisor_override, columns.astype(float)
        return rows / row_extents[:, None], columns / column_extents[:, None]

    @property
    def window(self) -> int:
        """The most elements in a window, or windows that hold an element."""
        sizes = [[(m != 0).sum(axis).max() for axis in (0, 1)] for m in self.matrices]
        return max(sizes[0][d] * sizes[1][d] for d in (0, 1))


@dataclass(frozen=True)
class Sliding(Case):
    kernel: Pair = (2, 2)
    stride: Pair = (2, 2)
    padding: Pair = (0, 0)
    count_include_pad: bool = True
    divisor_override: int = 0

    def axis(self, d: int) -> tuple[Array, Array]:
        begin = np.arange(self.out[d]) * self.stride[d] - self.padding[d]
        end = np.minimum(begin + self.kernel[d], self.image[d] + self.padding[d])
        positions = np.arange(self.image[d])
        inside = (positions >= begin[:, None]) & (positions < end[:, None])
        return inside, end - begin if self.count_include_pad else inside.sum(1)

    def shape(self, layout: str) -> Shape:
        fields = super().shape(layout) | {
            "count_include_pad": "yes" if self.count_include_pad else "no",
            "divisor_override": self.divisor_override,
        }
        for d, letter in enumerate("hw"):
            fields[f"k_{letter}"] = self.kernel[d]
            fields[f"stride_{letter}"] = self.stride[d]
            fields[f"pad_{letter}"] = self.padding[d]
        return fields


@dataclass(frozen=True)
class Adaptive(Case):
    def axis(self, d: int) -> tuple[Array, Array]:
        i, size, out = np.arange(self.out[d])[:, None], self.image[d], self.out[d]
        positions = np.arange(size)
        inside = (positions >= i * size // out) & (positions < -(-(i + 1) * size // out))
        return inside, inside.sum(1)


SLIDING = [
    *(
        Sliding(f"2x2_{c}@{width}", 2, c, (4, 2 * width), (2, width))
        for c, width in zip(SIZES, SIZES[::-1], strict=True)
    ),
    *(
        Sliding(f"3x3_s1_{c}@{width}", 1, c, (5, width), (5, width), (3, 3), (1, 1), (1, 1))
        for c, width in zip(SIZES, SIZES[1:] + SIZES[:1], strict=True)
    ),
    Sliding("one_element", 1, 1, (1, 1), (1, 1), (1, 1), (1, 1)),
    Sliding("uncounted", 1, 5, (7, 20), (4, 7), (3, 4), (2, 3), (1, 2), False),
    Sliding("ceil", 2, 5, (5, 7), (3, 4)),
    Sliding("ceil_padded", 1, 4, (8, 36), (5, 13), (3, 3), (2, 3), (1, 1)),
    Sliding("stride_above_kernel", 1, 6, (13, 50), (3, 17), (2, 1), (4, 3)),
    Sliding("divisor", 1, 17, (7, 9), (3, 4), (3, 2), (2, 2), (0, 0), True, -5),
    Sliding("global", 2, 33, (7, 7), (1, 1), (7, 7), (1, 1)),
    Sliding("large_window", 1, 3, (90, 70), (2, 6), (80, 60), (2, 2)),
    Sliding("channels_519", 1, 519, (3, 4), (1, 2), (3, 2), (1, 2)),
]

ADAPTIVE = [
    *(
        Adaptive(f"uneven_{c}@{width}", 2, c, (5, width), (3, 4))
        for c, width in zip(SIZES, SIZES[::-1], strict=True)
    ),
    *(Adaptive(f"global@{width}", 1, 3, (width, width + 1), (1, 1)) for width in (*SIZES, 90)),
    Adaptive("rows", 1, 9, (37, 5), (37, 1)),
    Adaptive("columns", 1, 9, (5, 37), (1, 37)),
    Adaptive("larger_output", 2, 3, (4, 5), (9, 13)),
    Adaptive("identity", 1, 17, (6, 7), (6, 7)),
    Adaptive("channels_519", 1, 519, (3, 4), (2, 3)),
]

CASES = {"avg_pool2d": SLIDING, "adaptive_avg_pool2d": ADAPTIVE}


def draw(case: Case, direction: str, dtype: str) -> Array:
    """The array that a kernel of that direction reads."""
    shape = case.x_shape if direction == "forward" else case.y_shape
    return generator(case, direction).standard_normal(shape).astype(dtype)


def cases(direction: str) -> list[object]:
    return [
        parameter
        for operator, its_cases in CASES.items()
        for parameter in each_kernel(
            operator,
            direction,
            variants={
                f"{case.name}-{layout}": (case.shape(layout), [case, layout])
                for case in its_cases
                for layout in LAYOUTS
            },
        )
    ]


@pytest.mark.parametrize("kernel, case, layout", cases("forward"))
def test_forward(kernel: Kernel, case: Case, layout: str) -> None:
    rows, columns = case.matrices
    for kind, threads in zip(INPUT_KINDS, THREADS, strict=True):
        x = INPUT_KINDS[kind](generator(case, kind), case.x_shape).astype(kernel.dtype)
        y = kernel.run(pack(x, layout), threads=threads, **case.shape(layout))
        wide = x.astype(np.float64)
        expected = rows @ wide @ columns.T
        size = abs(rows) @ abs(wide) @ columns.T
        tolerance = sum_tolerance(size, case.window + 1, kernel.dtype)
        what = f"{kind}, {threads} threads"
        assert_within(unpack(y, case.y_shape, layout), expected, tolerance, what)


LONG = Adaptive("long", 1, 1, (1024, 1024), (1, 1))
LONG_SUMS = each_kernel("adaptive_avg_pool2d", "forward", variants={"": (LONG.shape("nchw"), [])})


@pytest.mark.parametrize("kernel", [p for p in LONG_SUMS if p.values[0].dtype == "float32"])
def test_long_sums_are_added_up_in_parts(kernel: Kernel) -> None:
    x = np.full(LONG.x_shape, 0.1, kernel.dtype)  # each addition to a large sum errs alike
    y = kernel.run(x, threads=1, **LONG.shape("nchw"))
    # Parts of 64 additions, on the narrowest vectors in 4 x 4 lanes.
    roundings = 64 + x.size // (64 * 16)
    assert_within(y, x.flat[:1].astype(np.float64), sum_tolerance(y, roundings, kernel.dtype), "")


@pytest.mark.parametrize("kernel, case, layout", cases("bwd_input"))
def test_bwd_input(kernel: Kernel, case: Case, layout: str) -> None:
    rows, columns = case.matrices
    for threads in THREADS:
        dy = generator(case, threads).standard_normal(case.y_shape).astype(kernel.dtype)
        dx = kernel.run(pack(dy, layout), threads=threads, **case.shape(layout))
        wide = dy.astype(np.float64)
        expected = rows.T @ wide @ columns
        size = abs(rows).T @ abs(wide) @ columns
        # One rounding more for each quotient, and two for its divisor.
        tolerance = sum_tolerance(size, case.window + 3, kernel.dtype)
        assert_within(unpack(dx, case.x_shape, layout), expected, tolerance, f"{threads} threads")

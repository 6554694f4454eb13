"""Some rows of y alone: the same bits, of no more rows of x than they need, and nothing else.

And x in planes, where y is in channels_last.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import conv2d
import numpy as np
import pytest
from bindings import Kernel, Shape, _kernels
from numerics import assert_same_bits, generator
from problem import UNTOUCHED, Operands, each_kernel


@dataclass(frozen=True)
class SomeRows(conv2d.Conv2d):
    first: int = 0
    count: int = 0

    def suits(self, kernel: Kernel) -> bool:
        return super().suits(kernel) and _kernels.conv2d.takes_row_range(kernel.name, **self.shape)

    @property
    def shape(self) -> Shape:
        return {**super().shape, "y_first_row": self.first, "y_row_count": self.count}

    def rows_of_x(self) -> slice:
        """Those that the rows of y are made of."""
        begin = self.first * self.stride[0] - self.padding[0]
        last = begin + (self.count - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0]
        return slice(max(0, begin), max(0, last + 1))


PROBLEMS = [
    SomeRows(**{each.name: getattr(problem, each.name) for each in fields(problem)} | {"n": 1})
    for problem in conv2d.named(
        *("even_kernel", "3x3_s2", "dilation", "groups_of_17", "depthwise_33_s2", "depthwise_17@8"),
        *("1x1_deep", "1x1_16_to_15@7", "3x3_panels", "3x3_short_rows", "5x5", "stem_7x7_s2"),
    )
    if problem.layout == "channels_last"
]


#: The kernels that can: plans call no others.
ALGORITHMS = ("reference", "direct", "depthwise", "pointwise")


@pytest.mark.parametrize(
    "kernel, problem",
    [
        param
        for algorithm in ALGORITHMS
        for param in each_kernel("conv2d", "forward", problems=PROBLEMS, algorithm=algorithm)
    ],
)
def test_same_bits_as_whole_images(kernel: Kernel, problem: SomeRows) -> None:
    rng = generator("some rows", problem)
    x, w, y = (rng.standard_normal(problem.shapes[name]).astype(kernel.dtype) for name in "xwy")
    whole = problem.run(kernel, Operands(x, w, None, y), threads=1)["result"]
    height = whole.shape[2]
    for first, count in {(0, 1), (0, (height + 1) // 2), (height // 2, 1), (height - 1, 1)}:
        some = replace(problem, first=first, count=count)
        needed = np.full_like(x, np.nan)
        needed[:, :, some.rows_of_x()] = x[:, :, some.rows_of_x()]
        result = some.run(kernel, Operands(needed, w, None, y), threads=2)["result"]
        rows = slice(first, first + count)
        assert_same_bits(result[:, :, rows], whole[:, :, rows], f"{count} rows from {first} on")
        others = np.ascontiguousarray(np.delete(result, np.arange(height)[rows], axis=2))
        assert (others.view(np.uint8) == UNTOUCHED).all(), "the kernel wrote other rows"


@dataclass(frozen=True)
class InPlanes(conv2d.Conv2d):
    """Given x in the order of channels_last."""

    def suits(self, kernel: Kernel) -> bool:
        return super().suits(kernel) and _kernels.conv2d.takes_planes(kernel.name, **self.shape)

    @property
    def shape(self) -> Shape:
        return {**super().shape, "x_in_planes": True}


IN_PLANES = [
    InPlanes(**{each.name: getattr(problem, each.name) for each in fields(problem)})
    for problem in conv2d.named(
        *("even_kernel", "3x3_s2", "dilation", "groups_of_17", "depthwise_33_s2", "depthwise_17@8"),
        *("3x3_panels", "3x3_short_rows", "5x5", "stem_7x7_s2", "pooled_3x3", "pooled_5x5"),
    )
    if problem.layout == "channels_last"
]


@pytest.mark.parametrize(
    "kernel, problem",
    [
        param
        for algorithm in ("reference", "direct", "depthwise")
        for param in each_kernel("conv2d", "forward", problems=IN_PLANES, algorithm=algorithm)
    ],
)
def test_planes(kernel: Kernel, problem: InPlanes) -> None:
    rng = generator("x in planes", problem)
    x, w, y = (rng.standard_normal(problem.shapes[name]).astype(kernel.dtype) for name in "xwy")
    n, c, height, width = x.shape
    planes = x.reshape(n, height, width, c).transpose(0, 3, 1, 2)
    results = problem.run(kernel, Operands(planes, w, None, y), threads=2)
    problem.check(kernel, Operands(x, w, None, y), results, "x in planes")

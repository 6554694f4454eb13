"""x and y that are ranges of the channels of larger buffers: the same as where they are dense.

That a residual may be one, and all three at a time, shows test_finished_sums.py.
"""

from __future__ import annotations

from dataclasses import replace

import conv2d
import linear
import numpy as np
import pytest
from bindings import Array, Kernel, Shape, _kernels
from numerics import assert_same_bits, generator
from problem import Operands, Sums, each_kernel, with_gaps
from windows import pack

CONV2D = conv2d.named(
    *conv2d.REPRESENTATIVE,
    *("stem_7x7_s2", "1x1_groups", "depthwise_17@8", "3x3_s2_of_16", "3x3_four_tiles_wide"),
    *("3x3_short_rows", "5x5"),
)
RANGES = [problem for problem in CONV2D if problem.layout == "channels_last"]
LINEAR = [problem for problem in linear.PROBLEMS if problem.large or problem.m in (1, 7, 16)]


def draw(problem: Sums, dtype: str) -> Operands:
    rng = generator("ranges of channels", problem)
    x, w, y = (rng.standard_normal(problem.shapes[name]) for name in "xwy")
    return Operands(x, w, None, y).map(lambda a: a.astype(dtype))


def nearly_integers(operands: Operands) -> Operands:
    """Integers but for the last channel of the filters. Winograd's kernels look there only after
    they have looked at all of x: were it not for the integers there, they would not transform."""
    rng = generator("nearly integers", operands.w.shape)
    w = rng.choice((-1, 1), operands.w.shape) * rng.integers(1, 9, operands.w.shape)
    w = w.astype(operands.w.dtype)
    if w.shape[1] > 1:
        w[:, -1] *= np.pi
    return replace(operands, x=np.rint(operands.x), w=w)


@pytest.mark.parametrize(
    "kernel, problem",
    [
        *each_kernel("conv2d", "forward", problems=RANGES),
        *each_kernel("linear", "forward", problems=LINEAR),
    ],
)
def test_same_bits_as_dense(kernel: Kernel, problem: Sums) -> None:
    drawn = draw(problem, kernel.dtype)
    for operands in (drawn, nearly_integers(drawn)):
        dense = problem.run(kernel, operands, threads=2)["result"]
        for gaps in ((5, 0), (0, 1), (16, 19)):
            apart = problem.run(kernel, operands.in_larger_buffers(*gaps), threads=2)["result"]
            assert_same_bits(apart, dense, f"{gaps} elements between pixels")


def test_what_is_found_in_values() -> None:
    problem = conv2d.Conv2d("", 2, 40, (30, 34), 48, (3, 3), padding=(1, 1), layout=LAST)
    operands = draw(problem, "float32")
    rng = generator("empty windows", problem)
    x = pack(operands.x * (rng.random((2, 1, 30, 34)) < 0.1), LAST)
    dense = found_in(problem, x, 0, operands.w)
    assert dense == found_in(problem, with_gaps(x, 47), 47, operands.w)
    _, kind, tiles, plain_tiles = dense
    assert kind == "ordinary" and 0 < plain_tiles < tiles


LAST = "channels_last"


def found_in(problem: conv2d.Conv2d, x: Array, x_pixel: int, w: Array) -> tuple[str, str, int, int]:
    strides = conv2d.filter_strides(w.shape, "oihw")
    given = {"x_pixel": x_pixel, "w_strides": strides, "threads": 2}
    return _kernels.conv2d.choose(x, w, **given, **problem.shape)


ONE_BY_ONE = conv2d.named("1x1_17_to_16@8")


@pytest.mark.parametrize("layout, limit", [("nchw", ""), ("channels_last", " or at least {}")])
def test_distances_below_the_channels(layout: str, limit: str) -> None:
    (problem,) = (problem for problem in ONE_BY_ONE if problem.layout == layout)
    for name, channels in (("x", 17), ("y", 16), ("residual", 16)):
        for wrong in (channels - 1, -1):
            message = f"{name}_pixel must be 0{limit.format(channels)}, but is {wrong}"
            with pytest.raises(ValueError, match=message):
                call(problem.shape, **{f"{name}_pixel": wrong})


def call(shape: Shape, *, residual_pixel: int = 0, **pixels: int) -> Array:
    x, w = np.zeros((2, 17, 2, 8), np.float32), np.zeros((16, 17), np.float32)
    epilogue = {"residual_pixel": residual_pixel}
    strides = {"w_strides": (17, 1, 1, 1)}
    name = "conv2d_reference_f32"
    return _kernels.conv2d.forward(name, x, w, **strides, epilogue=epilogue, **pixels, **shape)

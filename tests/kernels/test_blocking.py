"""Kernels block for the L2 that there is: whatever its size, results are right."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from bindings import Array, Kernel, Shape, _kernels, registry
from numerics import assert_within, generator, sum_tolerance

KB = 1 << 10
#: How much larger than those of a plain sum the errors of Winograd's transforms are, at most.
WINOGRAD_GROWTH = 8


def convolution(*sizes: int, stride: int = 1, groups: int = 1, layout: str = "nchw") -> Shape:
    """A batch of 1, c_in, h_in, w_in, c_out and k_h = k_w, padded to keep its size."""
    shape = dict(zip(("c_in", "h_in", "w_in", "c_out", "k_h"), sizes, strict=True))
    pairs = {"stride": stride, "pad": sizes[-1] // 2, "dilation": 1}
    steps = {f"{name}_{axis}": value for name, value in pairs.items() for axis in "hw"}
    return shape | steps | {"n": 1, "k_w": sizes[-1], "groups": groups, "layout": layout}


#: Beyond the blocks for the least L2 in every dimension, and some for the largest.
SHAPES: dict[str, list[Shape]] = {
    "conv2d": [
        convolution(*sizes, layout=layout, **steps)
        for layout in ("nchw", "channels_last")
        for sizes, steps in (
            ((72, 30, 37, 40, 3), {}),
            ((40, 21, 22, 24, 5), {}),
            ((48, 41, 40, 36, 3), {"stride": 2}),
            ((264, 13, 50, 150, 1), {}),
            ((70, 40, 150, 70, 3), {"groups": 70}),
            ((24, 90, 100, 7, 3), {}),
            ((7, 90, 100, 24, 3), {}),
        )
    ],
    "linear": [
        {"m": m, "n": n, "k": k} for m, n, k in ((3, 1300, 300), (50, 700, 300), (300, 70, 600))
    ],
}


@pytest.fixture(params=[256 * KB, 320 * KB, 512 * KB, 2048 * KB], ids=lambda l2: f"{l2 // KB}K")
def l2(request: pytest.FixtureRequest) -> Iterator[int]:
    """The L2 that kernels count on; all other tests count on this machine's, or on CNNEXT_L2."""
    _kernels.set_machine(request.param)
    yield request.param
    _kernels.set_machine()


def draw(kernel: Kernel, shape: Shape) -> list[Array]:
    """The two operands of a pass, the filters in torch's order."""
    if kernel.operator == "linear":
        m, n, k = shape["m"], shape["n"], shape["k"]
        x, w, y = m * k, n * k, m * n
    else:
        c_in, c_out, taps = shape["c_in"], shape["c_out"], shape["k_h"] * shape["k_w"]
        out = [(shape[f"{a}_in"] - 1) // shape[f"stride_{a}"] + 1 for a in "hw"]
        x, w = c_in * shape["h_in"] * shape["w_in"], c_out * c_in // shape["groups"] * taps
        y = c_out * out[0] * out[1]
    sizes = {"forward": (x, w), "bwd_input": (y, w), "bwd_weight": (y, x)}[kernel.direction]
    rng = generator("blocking", kernel.direction, sorted(shape.items()))
    return [rng.standard_normal(size).astype(np.float32) for size in sizes]


def terms(kernel: Kernel, shape: Shape) -> int:
    """How many products are added up for an element of the result."""
    if kernel.operator == "linear":
        return shape[{"forward": "k", "bwd_input": "n", "bwd_weight": "m"}[kernel.direction]]
    if kernel.direction == "bwd_weight":
        return shape["h_in"] * shape["w_in"]
    summed = shape["c_in" if kernel.direction == "forward" else "c_out"]
    return summed // shape["groups"] * shape["k_h"] * shape["k_w"]


def run(kernel: Kernel, operands: list[Array], shape: Shape, threads: int = 1) -> Array:
    strides: dict[str, Any] = {}
    if kernel.operator == "conv2d":
        taps = shape["k_h"] * shape["k_w"]
        per_filter = shape["c_in"] // shape["groups"] * taps
        strides = {"w_strides": (per_filter, taps, shape["k_w"], 1)}
    return kernel.run(*operands, threads=threads, **strides, **shape)


@cache
def expected(kernel: Kernel, index: int) -> tuple[Array, Array]:
    """What the float64 reference makes of a shape's operands, and of their magnitudes."""
    shape = SHAPES[kernel.operator][index]
    wide = [operand.astype(np.float64) for operand in draw(kernel, shape)]
    return run(kernel, wide, shape), run(kernel, [np.abs(operand) for operand in wide], shape)


def reference_of(kernel: Kernel) -> Kernel:
    return next(
        other
        for other in registry(kernel.operator, kernel.direction)
        if other.is_reference and other.dtype == "float64"
    )


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(kernel, id=kernel.name)
        for operator in SHAPES
        for kernel in registry(operator)
        if kernel.is_usable and not kernel.is_reference and kernel.dtype == "float32"
    ],
)
def test_results_are_right_for_any_l2(kernel: Kernel, l2: int) -> None:
    shapes = SHAPES[kernel.operator]
    applicable = [index for index, shape in enumerate(shapes) if kernel.applies(shape)]
    assert applicable
    for index in applicable:
        exact, magnitude = expected(reference_of(kernel), index)
        tolerance = sum_tolerance(magnitude, terms(kernel, shapes[index]), "float32")
        growth = WINOGRAD_GROWTH if "winograd" in kernel.name else 1
        for threads in (1, 3):
            result = run(kernel, draw(kernel, shapes[index]), shapes[index], threads)
            assert_within(result, exact, growth * tolerance, f"{shapes[index]}, {threads} threads")


def test_blocks_follow_l2(l2: int) -> None:
    """Panels of a product fill a quarter of it; what else is in scratch is the same."""
    shape = {"m": 300, "n": 700, "k": 600, "threads": 1}
    scratch = _kernels.linear.plan("linear_gemm_f32_baseline", **shape)["chunk_bytes"]
    _kernels.set_machine(1024 * KB)
    usual = _kernels.linear.plan("linear_gemm_f32_baseline", **shape)["chunk_bytes"]
    assert scratch - usual == (l2 - 1024 * KB) // 4

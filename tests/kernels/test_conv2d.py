"""conv2d, beside what test_every_kernel.py shows: filters in any memory, and sums that are exact.

Users rely on some sums of Winograd's kernels being exact: csrc/conv2d/exact_sums.h.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from bindings import Array, Kernel, _kernels, registry
from conv2d import LAYOUTS, PROBLEMS, REPRESENTATIVE, Conv2d, named
from numerics import generator
from problem import Operands, each_kernel

ORDERS = tuple(map("".join, itertools.permutations("oihw")))
SMALL = named(
    *("3x3_of_3", "3x3_full_padding", "2x3_of_6", "1x1_wide", "depthwise_even"),
    "2x3_dilated_of_48",
)


@pytest.mark.parametrize(
    "kernel, problem",
    each_kernel("conv2d", "forward", "bwd_input", problems=SMALL + named(*REPRESENTATIVE)),
)
def test_filters_in_any_memory(kernel: Kernel, problem: Conv2d) -> None:
    _, operands = problem.draws(kernel)[0]
    for filters in (*(ORDERS if problem in SMALL else ("oihw", "ohwi")), "gaps"):
        actual = problem.run(kernel, replace(operands, filters=filters), threads=2)
        problem.check(kernel, operands, actual, filters)


POOLED = [problem.shape for problem in PROBLEMS if problem.pooled]


def test_kernels_that_cannot_pool_apply_to_no_pooled_shape() -> None:
    pooling = {
        kernel.name.split("_f32")[0].split("_f64")[0]
        for kernel in registry("conv2d")
        if any(map(kernel.applies, POOLED))
    }
    winograd = {f"winograd{tile}_{form}" for tile in (2, 4) for form in ("fused", "shared")}
    others = {"reference", "direct", "direct_pixels"}
    assert pooling == {f"conv2d_{algorithm}" for algorithm in others | winograd}


def test_the_choice_for_a_pooled_shape_is_a_kernel_that_pools() -> None:
    (shape,) = (p.shape for p in named("pooled_window") if p.layout == "channels_last")
    chosen = _kernels.conv2d.select("forward", "float32", **shape)
    alone = _kernels.conv2d.select("forward", "float32", **shape | {"pooled": False})
    assert "direct" in chosen and "pointwise" in alone


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"h_in": 1}, "the outputs are fewer than a window of the pool"),
        ({"residual": np.zeros(2 * 9, np.float32)}, "a pooled result takes no residual"),
    ],
)
def test_what_cannot_be_pooled(changed: dict[str, Any], message: str) -> None:
    shape = named("pooled_window")[0].shape
    x, w = np.zeros(2 * 8 * 2 * 3, np.float32), np.zeros(9 * 8, np.float32)
    with pytest.raises(ValueError, match=message):
        _kernels.conv2d.forward(
            "conv2d_direct_f32_baseline", x, w, w_strides=(8, 1, 1, 1), **shape | changed
        )


WINOGRAD = [
    replace(case, layout=layout)
    for case in (
        Conv2d("3x3", 1, 17, (19, 22), 18, (3, 3), padding=(1, 1)),
        Conv2d("3x3_full", 2, 9, (10, 11), 33, (3, 3), padding=(2, 2)),
        Conv2d("5x5", 1, 9, (13, 14), 17, (5, 5), padding=(2, 2)),
    )
    for layout in LAYOUTS
]


class Winograd(NamedTuple):
    """A kernel, whose `x` is what it reads: the input, or the gradient of the output."""

    kernel: Kernel
    problem: Conv2d

    @property
    def x_shape(self) -> tuple[int, ...]:
        return self.problem.shapes["x" if self.kernel.direction == "forward" else "y"]

    @property
    def w_shape(self) -> tuple[int, ...]:
        return self.problem.shapes["w"]

    def _operands(self, x: Array, w: Array) -> Operands:
        unread = {name: np.zeros(self.problem.shapes[name]) for name in "xy"}
        both = (x, unread["y"]) if self.kernel.direction == "forward" else (unread["x"], x)
        return Operands(both[0], w, None, both[1]).map(lambda a: a.astype(self.kernel.dtype))

    def run(self, x: Array, w: Array) -> Array:
        return self.problem.run(self.kernel, self._operands(x, w), threads=2)["result"]

    def exact(self, x: Array, w: Array) -> Array:
        return self.problem.exact(self.kernel.direction, self._operands(x, w).map(np.float64))


def each_winograd(*directions: str) -> pytest.MarkDecorator:
    params = each_kernel("conv2d", *directions, problems=WINOGRAD, algorithm="winograd")
    calls = [pytest.param(Winograd(*p.values), id=p.id, marks=p.marks) for p in params]
    return pytest.mark.parametrize("call", calls)


each = each_winograd("forward", "bwd_input")


@each
def test_integers_are_exact(call: Winograd) -> None:
    rng = generator("exact integers", call.problem)
    for most in (1, 7, 200):
        x = rng.integers(-most, most + 1, call.x_shape)
        for step in (1, 0.125):
            w = rng.integers(-9, 10, call.w_shape) * step
            np.testing.assert_array_equal(call.run(x, w), call.exact(x, w))


@each
def test_empty_windows_are_zero(call: Winograd) -> None:
    rng = generator("exact zeros", call.problem)
    n, _, *image = call.x_shape
    for share in (0.005, 0.05, 0.3):
        x = rng.standard_normal(call.x_shape) * (rng.random((n, 1, *image)) < share)
        w = rng.standard_normal(call.w_shape)
        assert (call.run(x, w)[call.exact(x, w) == 0] == 0).all()


@each
def test_nothing_is_negative_without_negative_values(call: Winograd) -> None:
    rng = generator("exact signs", call.problem)
    x, w = (rng.standard_normal(shape) for shape in (call.x_shape, call.w_shape))
    assert (call.run(np.exp(3 * x), np.exp(w)) >= 0).all()


@each
def test_zero_taps_see_nothing(call: Winograd) -> None:
    rng = generator("exact taps", call.problem)
    w = rng.standard_normal(call.w_shape)
    w[:, :, call.w_shape[2] // 2 :] = 0  # rows of the filter, in the gradient those above
    x = rng.standard_normal(call.x_shape) * 1e4
    x[:, :, : call.x_shape[2] // 2] = 0
    zero = call.exact(x, w) == 0
    assert zero.any()
    assert (call.run(x, w)[zero] == 0).all()


@each_winograd("forward")
def test_dim_windows(call: Winograd) -> None:
    rng = generator("exact dim", call.problem)
    w = rng.standard_normal(call.w_shape)
    n, _, *image = call.x_shape
    for bright in (3e2, 1e4, 1e6):
        place = rng.random((n, 1, *image)) < 0.05
        x = rng.choice((-1, 1), call.x_shape) * rng.uniform(0.9, 1, call.x_shape)
        x *= np.where(place, bright, 1)
        dim = call.exact(np.broadcast_to(place, x.shape), np.ones_like(w)) == 0
        assert dim.any()
        error = np.abs(call.run(x, w) - call.exact(x, w))
        assert (error <= 1e-4 * call.exact(np.abs(x), np.abs(w)))[dim].all()


@each
def test_filters_that_are_not_finite(call: Winograd) -> None:
    """Also at the border, where a tap that meets no pixel has no part in the sum."""
    rng = generator("exact filters", call.problem)
    x, w = (rng.standard_normal(shape) for shape in (call.x_shape, call.w_shape))
    w[3, 0, 0, 0], w[5, -1, -1, -1] = np.inf, np.nan
    finite = np.isfinite(w)
    actual, expected = call.run(x, w), call.exact(x, np.where(finite, w, 0))
    clean = call.exact(np.ones_like(x), ~finite) == 0
    np.testing.assert_array_equal(np.isfinite(actual), clean)
    np.testing.assert_allclose(actual[clean], expected[clean], rtol=1e-3, atol=1e-3)

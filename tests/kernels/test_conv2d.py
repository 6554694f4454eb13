"""conv2d, beside what test_every_kernel.py shows: filters in any memory, and sums that are exact.

Users rely on some sums of Winograd's kernels being exact: csrc/conv2d/exact_sums.h.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from bindings import Array, Kernel
from conv2d import LAYOUTS, REPRESENTATIVE, Conv2d, named
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


WINOGRAD = [
    replace(case, layout=layout)
    for case in (
        Conv2d("3x3", 1, 17, (19, 22), 18, (3, 3), padding=(1, 1)),
        Conv2d("3x3_full", 2, 9, (10, 11), 33, (3, 3), padding=(2, 2)),
        Conv2d("5x5", 1, 9, (13, 14), 17, (5, 5), padding=(2, 2)),
    )
    for layout in LAYOUTS
]


def each_winograd(*directions: str) -> pytest.MarkDecorator:
    params = each_kernel("conv2d", *directions, problems=WINOGRAD, algorithm="winograd")
    return pytest.mark.parametrize("kernel, problem", params)


each = each_winograd("forward", "bwd_input")


def operands(kernel: Kernel, problem: Conv2d, source: Array, w: Array) -> Operands:
    """Operands with `source` as the input or the output's gradient, whichever the kernel reads."""
    forward = kernel.direction == "forward"
    x = source if forward else np.zeros(problem.shapes["x"])
    dy = np.zeros(problem.shapes["y"]) if forward else source
    x, w, dy = (array.astype(kernel.dtype) for array in (x, w, dy))
    return Operands(x, w, None, dy)


def run(kernel: Kernel, problem: Conv2d, operands: Operands) -> Array:
    return problem.run(kernel, operands, threads=2)["result"]


def exact(kernel: Kernel, problem: Conv2d, operands: Operands) -> Array:
    return problem.exact(kernel.direction, operands.map(np.float64))


def check(kernel: Kernel, problem: Conv2d, source: Array, w: Array) -> tuple[Array, Array]:
    """The kernel's result, and the exact one."""
    values = operands(kernel, problem, source, w)
    return run(kernel, problem, values), exact(kernel, problem, values)


def source_shape(kernel: Kernel, problem: Conv2d) -> tuple[int, ...]:
    return problem.shapes["x"] if kernel.direction == "forward" else problem.shapes["y"]


@each
def test_integers_are_exact(kernel: Kernel, problem: Conv2d) -> None:
    rng = generator("exact integers", problem)
    for most in (1, 7, 200):
        x = rng.integers(-most, most + 1, source_shape(kernel, problem))
        for step in (1, 0.125):
            w = rng.integers(-9, 10, problem.shapes["w"]) * step
            actual, expected = check(kernel, problem, x, w)
            np.testing.assert_array_equal(actual, expected)


@each
def test_empty_windows_are_zero(kernel: Kernel, problem: Conv2d) -> None:
    rng = generator("exact zeros", problem)
    shape = source_shape(kernel, problem)
    for share in (0.005, 0.05, 0.3):
        seen = rng.random((shape[0], 1, *shape[2:])) < share
        w = rng.standard_normal(problem.shapes["w"])
        actual, expected = check(kernel, problem, rng.standard_normal(shape) * seen, w)
        assert (actual[expected == 0] == 0).all()


@each
def test_nothing_is_negative_without_negative_values(kernel: Kernel, problem: Conv2d) -> None:
    rng = generator("exact signs", problem)
    x = np.exp(3 * rng.standard_normal(source_shape(kernel, problem)))
    actual, _ = check(kernel, problem, x, np.exp(rng.standard_normal(problem.shapes["w"])))
    assert (actual >= 0).all()


@each
def test_zero_taps_see_nothing(kernel: Kernel, problem: Conv2d) -> None:
    rng = generator("exact taps", problem)
    shape = source_shape(kernel, problem)
    w = rng.standard_normal(problem.shapes["w"])
    w[:, :, problem.kernel[0] // 2 :] = 0  # rows of the filter, in the gradient those above
    x = rng.standard_normal(shape) * 1e4
    x[:, :, : shape[2] // 2] = 0
    actual, expected = check(kernel, problem, x, w)
    assert (expected == 0).any()
    assert (actual[expected == 0] == 0).all()


@each_winograd("forward")
def test_dim_windows(kernel: Kernel, problem: Conv2d) -> None:
    rng = generator("exact dim", problem)
    w = rng.standard_normal(problem.shapes["w"])
    seen_by = np.ones_like(w)
    for bright in (3e2, 1e4, 1e6):
        place = rng.random((problem.n, 1, *problem.image)) < 0.05
        x = rng.choice((-1, 1), problem.shapes["x"]) * rng.uniform(0.9, 1, problem.shapes["x"])
        x *= np.where(place, bright, 1)
        actual, expected = check(kernel, problem, x, w)
        scale = exact(kernel, problem, operands(kernel, problem, np.abs(x), np.abs(w)))
        everywhere = np.broadcast_to(place, problem.shapes["x"])
        dim = exact(kernel, problem, operands(kernel, problem, everywhere, seen_by)) == 0
        assert dim.any()
        assert (np.abs(actual - expected) <= 1e-4 * scale)[dim].all()


@each
def test_filters_that_are_not_finite(kernel: Kernel, problem: Conv2d) -> None:
    """Also at the border, where a tap that meets no pixel has no part in the sum."""
    rng = generator("exact filters", problem)
    source = rng.standard_normal(source_shape(kernel, problem))
    w = rng.standard_normal(problem.shapes["w"])
    w[3, 0, 0, 0], w[5, -1, -1, -1] = np.inf, np.nan
    actual = run(kernel, problem, operands(kernel, problem, source, w))
    finite = operands(kernel, problem, source, np.where(np.isfinite(w), w, 0))
    expected = exact(kernel, problem, finite)
    meets = operands(kernel, problem, np.ones_like(source), ~np.isfinite(w))
    clean = exact(kernel, problem, meets) == 0
    np.testing.assert_array_equal(np.isfinite(actual), clean)
    np.testing.assert_allclose(actual[clean], expected[clean], rtol=1e-3, atol=1e-3)

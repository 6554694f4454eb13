"""Winograd's kernels by name, on sums that users rely on being exact: csrc/conv2d/exact_sums.h."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import Array, Kernel, each_kernel
from numerics import generator
from test_conv2d_kernels import NATURAL, Case, Memory, Operands, exact, run, variants

CASES = [
    Case("3x3", 1, 17, (19, 22), 18, (3, 3), padding=(1, 1)),
    Case("3x3_full", 2, 9, (10, 11), 33, (3, 3), padding=(2, 2)),
    Case("5x5", 1, 9, (13, 14), 17, (5, 5), padding=(2, 2)),
]


def winograd_kernels(*directions: str) -> pytest.MarkDecorator:
    params = each_kernel(
        "conv2d", *directions, variants=variants(CASES, NATURAL), algorithm="winograd"
    )
    return pytest.mark.parametrize("kernel, case, memory", params)


each = winograd_kernels("forward", "bwd_input")


def operands(kernel: Kernel, case: Case, source: Array, w: Array) -> Operands:
    """Operands with `source` as the input or the output's gradient, whichever the kernel reads."""
    forward = kernel.direction == "forward"
    x = source if forward else np.zeros(case.x_shape)
    dy = np.zeros(case.y_shape) if forward else source
    x, w, dy = (array.astype(kernel.dtype) for array in (x, w, dy))
    return Operands(x, w, None, dy)


def check(
    kernel: Kernel, case: Case, memory: Memory, source: Array, w: Array
) -> tuple[Array, Array]:
    """The kernel's result, and the exact one."""
    values = operands(kernel, case, source, w)
    return run(kernel, case, memory, values, threads=2), exact(case, kernel.direction, values)


def source_shape(kernel: Kernel, case: Case) -> tuple[int, ...]:
    return case.x_shape if kernel.direction == "forward" else case.y_shape


@each
def test_integers_are_exact(kernel: Kernel, case: Case, memory: Memory) -> None:
    rng = generator("exact integers", case)
    for most in (1, 7, 200):
        x = rng.integers(-most, most + 1, source_shape(kernel, case))
        for step in (1, 0.125):
            w = rng.integers(-9, 10, case.w_shape) * step
            actual, expected = check(kernel, case, memory, x, w)
            np.testing.assert_array_equal(actual, expected)


@each
def test_empty_windows_are_zero(kernel: Kernel, case: Case, memory: Memory) -> None:
    rng = generator("exact zeros", case)
    shape = source_shape(kernel, case)
    for share in (0.005, 0.05, 0.3):
        seen = rng.random((shape[0], 1, *shape[2:])) < share
        w = rng.standard_normal(case.w_shape)
        actual, expected = check(kernel, case, memory, rng.standard_normal(shape) * seen, w)
        assert (actual[expected == 0] == 0).all()


@each
def test_nothing_is_negative_without_negative_values(
    kernel: Kernel, case: Case, memory: Memory
) -> None:
    rng = generator("exact signs", case)
    x = np.exp(3 * rng.standard_normal(source_shape(kernel, case)))
    actual, _ = check(kernel, case, memory, x, np.exp(rng.standard_normal(case.w_shape)))
    assert (actual >= 0).all()


@each
def test_zero_taps_see_nothing(kernel: Kernel, case: Case, memory: Memory) -> None:
    rng = generator("exact taps", case)
    shape = source_shape(kernel, case)
    w = rng.standard_normal(case.w_shape)
    w[:, :, case.kernel[0] // 2 :] = 0  # rows of the filter, in the gradient those above
    x = rng.standard_normal(shape) * 1e4
    x[:, :, : shape[2] // 2] = 0
    actual, expected = check(kernel, case, memory, x, w)
    assert (expected == 0).any()
    assert (actual[expected == 0] == 0).all()


@winograd_kernels("forward")
def test_dim_windows(kernel: Kernel, case: Case, memory: Memory) -> None:
    rng = generator("exact dim", case)
    w = rng.standard_normal(case.w_shape)
    seen_by = np.ones_like(w)
    for bright in (3e2, 1e4, 1e6):
        place = rng.random((case.n, 1, *case.image)) < 0.05
        x = rng.choice((-1, 1), case.x_shape) * rng.uniform(0.9, 1, case.x_shape)
        x *= np.where(place, bright, 1)
        actual, expected = check(kernel, case, memory, x, w)
        scale = exact(case, "forward", operands(kernel, case, np.abs(x), np.abs(w)))
        everywhere = np.broadcast_to(place, case.x_shape)
        dim = exact(case, "forward", operands(kernel, case, everywhere, seen_by)) == 0
        assert dim.any()
        assert (np.abs(actual - expected) <= 1e-4 * scale)[dim].all()


@each
def test_filters_that_are_not_finite(kernel: Kernel, case: Case, memory: Memory) -> None:
    """Also at the border, where a tap that meets no pixel has no part in the sum."""
    rng = generator("exact filters", case)
    source = rng.standard_normal(source_shape(kernel, case))
    w = rng.standard_normal(case.w_shape)
    w[3, 0, 0, 0], w[5, -1, -1, -1] = np.inf, np.nan
    actual = run(kernel, case, memory, operands(kernel, case, source, w), threads=2)
    finite = operands(kernel, case, source, np.where(np.isfinite(w), w, 0))
    expected = exact(case, kernel.direction, finite)
    meets = operands(kernel, case, np.ones_like(source), ~np.isfinite(w))
    clean = exact(case, kernel.direction, meets) == 0
    np.testing.assert_array_equal(np.isfinite(actual), clean)
    np.testing.assert_allclose(actual[clean], expected[clean], rtol=1e-3, atol=1e-3)

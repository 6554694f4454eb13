"""Every kernel of conv2d and linear that ends in an epilogue: the activation of exact sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import conv2d
import linear
import numpy as np
import pytest
from bindings import THREADS, Array, Kernel
from finish import Epilogue
from numerics import assert_within, eps_of, generator
from problem import Operands, Sums, each_kernel, reference

#: Each with how many elements lie between the pixels of x, y and the residual, where they are
#: channels_last; whether there is a bias; and how the filters lie in memory, which products of
#: pixels read in different ways.
EPILOGUES = (
    (Epilogue("relu"), (3, 0, 0), True, "oihw"),
    (Epilogue("clamp", "before"), (0, 0, 3), True, "gaps"),
    (Epilogue("leaky_relu", "after"), (0, 1, 0), True, "ihwo"),
    (Epilogue("silu", "before"), (16, 16, 16), True, "gaps"),
    (Epilogue("none", "after"), (1, 17, 1), True, "ohwi"),
    (Epilogue("gelu", "after"), (0, 0, 5), False, "ihwo"),
)

#: Beside the representative ones, those around tiles and panels: at least five for each kernel.
CONV2D = conv2d.named(
    *conv2d.REPRESENTATIVE,
    *("one_element", "image_is_all_padding", "stem_7x7_s2", "depthwise_even", "depthwise_sparse"),
    *("depthwise_17@8", "depthwise_65@33", "1x1_17_to_16@8", "1x1_33_to_31@15", "1x1_wide"),
    *("1x1_deep_wide", "1x1_large", "3x3_17_to_16@8", "3x3_full_padding", "3x3_four_tiles_wide"),
    *("3x3_short_rows", "3x3_small_images", "5x5", "5x5_full_padding"),
    # Whole vectors of channels, which the implicit GEMM of channels_last images asks for.
    *("3x3_16_to_15@7", "3x3_s2_of_16", "2x3_dilated_of_48", "1x1_s2_wide_deep"),
    *(problem.name for problem in conv2d.PROBLEMS if problem.pooled),
)
LINEAR = [
    problem
    for problem in linear.PROBLEMS
    if problem.large or problem.m in (1, 2, 3, 4, 6, 7, 8, 9, 15, 16, 17)
]
FORWARD = pytest.mark.parametrize(
    "kernel, problem",
    [
        *each_kernel("conv2d", "forward", problems=CONV2D),
        *each_kernel("linear", "forward", problems=LINEAR),
    ],
)


@cache
def draw(problem: Sums, dtype: str) -> Operands:
    """Sums of about the size that activations bend at. There are no bias and no residual yet."""
    rng = generator("finished sums", problem, dtype)
    shapes = problem.shapes
    x, w, y = (rng.standard_normal(shapes[name]) for name in "xwy")
    w *= 2 / problem.terms("forward") ** 0.5
    return Operands(x, w, None, y).map(lambda a: a.astype(dtype))


Change = Callable[[Array, np.random.Generator], Array]


@cache
def draw_with(problem: Sums, dtype: str, change: Change) -> Operands:
    operands = draw(problem, dtype)
    return replace(operands, x=change(operands.x, generator(change.__name__, problem)))


def few_pixels(x: Array, rng: np.random.Generator) -> Array:
    """Many windows hold zeros alone."""
    places = (x.shape[0], 1, *x.shape[2:])
    return x * (rng.random(places) < 0.05)


def special_values(x: Array, rng: np.random.Generator) -> Array:
    values = np.array([np.nan, np.inf, -np.inf])[: x.size]
    x = x.copy()
    x.flat[rng.choice(x.size, len(values), replace=False)] = values
    return x


def finished(problem: Sums, operands: Operands) -> Iterator[tuple[Epilogue, Operands]]:
    """The operands with every epilogue; where the result is pooled, without its residual."""
    channels = operands.w.shape[0]
    rng = generator("bias and residual", problem)
    b = rng.standard_normal(channels).astype(operands.x.dtype)
    residual = rng.standard_normal(problem.shapes["y"]).astype(operands.x.dtype)
    for epilogue, gaps, has_bias, filters in EPILOGUES:
        if problem.shape.get("pooled"):
            epilogue = Epilogue(epilogue.activation)
        finished = replace(
            operands,
            b=b if has_bias else None,
            residual=residual if epilogue.residual else None,
            epilogue=epilogue.fields,
            filters=filters,
        )
        if problem.shape.get("layout") != "nchw":
            finished = finished.in_larger_buffers(*gaps)
        yield epilogue, finished


def check(
    kernel: Kernel, problem: Sums, operands: Operands, exact: Array, tolerance: Array
) -> None:
    """Every epilogue, where the sums of these operands may be off by the tolerance. An activation
    magnifies that error, and the rounding of up to two additions before it, by its slope at most.
    """
    for (epilogue, given), threads in zip(finished(problem, operands), itertools.cycle(THREADS)):
        b = np.zeros(1) if given.b is None else given.b.astype(np.float64)
        if exact.ndim == 4:
            b = b[:, None, None]
        added = np.zeros(1) if given.residual is None else np.abs(given.residual)
        with np.errstate(invalid="ignore"):
            rounding = eps_of(kernel.dtype) * (np.abs(exact) + np.abs(b) + added)
            expected = epilogue.expected(
                exact + b, given.residual, tolerance + rounding, kernel.dtype
            )
        y = problem.run(kernel, given, threads=threads)["result"]
        assert_within(y, *problem.stored(*expected), f"{epilogue}, {threads} threads")


def check_sums(kernel: Kernel, problem: Sums, operands: Operands) -> None:
    """Sums of products of which all are zero are exact."""
    exact, tolerance = reference(problem, "forward", operands)
    limits = np.where(tolerance == 0, 0, problem.limits(kernel, tolerance))
    check(kernel, problem, operands, exact, limits)


@FORWARD
def test_sums(kernel: Kernel, problem: Sums) -> None:
    check_sums(kernel, problem, draw(problem, kernel.dtype))


@FORWARD
def test_sums_that_are_not_finite(kernel: Kernel, problem: Sums) -> None:
    check_sums(kernel, problem, draw_with(problem, kernel.dtype, special_values))


@pytest.mark.parametrize("kernel, problem", each_kernel("conv2d", "forward", problems=CONV2D))
def test_empty_windows(kernel: Kernel, problem: Sums) -> None:
    """Winograd's kernels sum tiles that have some another way."""
    check_sums(kernel, problem, draw_with(problem, kernel.dtype, few_pixels))


@cache
def draw_filters_that_are_not_finite(
    problem: conv2d.Conv2d, dtype: str
) -> tuple[Operands, Array, Array]:
    """Operands, exact sums and their tolerance."""
    operands = draw(problem, dtype)
    w = operands.w.copy()
    w[0, 0, 0, 0], w[1, -1, -1, -1], w[-1, 0, -1, 0] = np.inf, -np.inf, np.nan
    finite = np.isfinite(w)
    exact, tolerance = reference(problem, "forward", replace(operands, w=np.where(finite, w, 0)))

    def sums(x: Array, w: Array) -> Array:
        return problem.exact("forward", replace(operands, x=x, w=w))

    # No filter has two of them.
    taken = sums(np.ones_like(operands.x), ~finite) > 0
    factor = sums(operands.x, np.where(finite, 0, np.sign(w)))
    with np.errstate(invalid="ignore"):
        exact = np.where(taken, factor * np.inf, exact)
    return replace(operands, w=w), exact, tolerance


@pytest.mark.parametrize(
    "kernel, problem",
    each_kernel(
        "conv2d",
        "forward",
        problems=[p for p in CONV2D if p.c_out > 3],
    ),
)
def test_filters_that_are_not_finite(kernel: Kernel, problem: conv2d.Conv2d) -> None:
    """A tap that meets the border has no part in the sum."""
    operands, exact, tolerance = draw_filters_that_are_not_finite(problem, kernel.dtype)
    check(kernel, problem, operands, exact, problem.limits(kernel, tolerance))

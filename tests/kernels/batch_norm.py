"""batch_norm: the formulas of csrc/normalization/batch_norm.h.

What a forward pass makes of x is held to the statistics that the kernel itself has left, and those
to x: so each is held to what it alone may be off by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from estimates import Estimate, given
from numerics import (
    INPUT_KINDS,
    assert_same_bits,
    assert_within,
    eps_of,
    generator,
    sum_tolerance,
    wide,
)
from problem import Problem, Results
from reorder import laid_out

MOMENTUM, EPS = 0.3, 1e-5
#: The bounds of each activation.
BOUNDS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "clamp": (0.0, 6.0)}

#: So many floats are added up one after the other, at most: those of 256 pixels or of a lane of
#: vectors, then the lanes. All else is added up in double.
CHAIN = 300

#: Values before an activation are so far from its bounds, or more, where they alone say what it
#: passes on: a kernel that rounds them in another way finds them on the same side.
MARGIN = 1e-3


class Forward(NamedTuple):
    """What a forward pass reads."""

    x: Array
    r: Array | None
    gamma: Array | None
    beta: Array | None
    mean: Array | None
    var: Array | None
    running_mean: Array | None
    running_var: Array | None


class Backward(NamedTuple):
    """What a backward pass reads, and which gradients of images it is asked for."""

    dy: Array
    x: Array
    y: Array | None
    gamma: Array | None
    beta: Array | None
    mean: Array
    var: Array
    need_dx: bool
    need_dr: bool


@dataclass(frozen=True)
class BatchNorm(Problem):
    n: int
    c: int
    pixels: int
    layout: str
    training: bool = True
    activation: str = "none"
    residual: bool = False

    def __str__(self) -> str:
        statistics = "training" if self.training else "given"
        residual = "-residual" if self.residual else ""
        sizes = f"{self.n}x{self.c}x{self.pixels}"
        return f"{sizes}-{self.layout}-{statistics}-{self.activation}{residual}"

    @property
    def shape(self) -> Shape:
        shape = {
            **{"n": self.n, "c": self.c, "pixels": self.pixels, "layout": self.layout},
            **{"training": self.training, "momentum": MOMENTUM, "eps": EPS},
            **{"residual": self.residual, "activation": self.activation},
        }
        low, high = BOUNDS[self.activation]
        return shape | ({"low": low, "high": high} if self.activation == "clamp" else {})

    @property
    def m(self) -> int:
        return self.n * self.pixels

    def off(self, magnitude: Array, roundings: int, dtype: str) -> Array:
        """How far a kernel's sum over a channel may be from exact, given the sum of its terms'
        magnitudes, with so many roundings besides those of the sum.

        Doubles are added up in one chain, in which terms that are alike, as zeros behind a ReLU,
        are rounded alike: no roundings cancel.
        """
        doubles = self.m * eps_of("float64") * magnitude
        if dtype == "float64":
            return doubles + roundings * eps_of(dtype) * magnitude
        return doubles + sum_tolerance(magnitude, min(self.m, CHAIN) + roundings, dtype)

    def in_memory(self, images: Array) -> Array:
        return laid_out(images, self.layout, 0, np.nan)

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Any]]:
        draw = draw_forward if kernel.direction == "forward" else draw_backward
        with np.errstate(invalid="ignore"):
            return iter(draw(self, kernel.dtype))

    def run(self, kernel: Kernel, operands: Any, *, threads: int) -> Results:
        arrays = [
            self.in_memory(a) if isinstance(a, np.ndarray) and a.ndim == 3 else a for a in operands
        ]
        if isinstance(operands, Forward):
            return kernel.run(*arrays, threads=threads, **self.shape)
        *arrays, need_dx, need_dr = arrays
        needs = {"need_dx": need_dx, "need_dr": need_dr}
        return kernel.run(*arrays, **needs, threads=threads, **self.shape)

    def check(self, kernel: Kernel, operands: Any, results: Results, what: str) -> None:
        check = check_forward if kernel.direction == "forward" else check_backward
        with np.errstate(invalid="ignore", divide="ignore"):
            check(self, kernel.dtype, operands, results, what)


def of_channels(values: Array | float) -> Array:
    """As they meet images (n, c, pixels)."""
    return np.reshape(values, (-1, 1))


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each channel."""
    mean = x.mean((0, 2))
    return mean, np.square(x - of_channels(mean)).mean((0, 2))


def draw_images(problem: BatchNorm, rng: np.random.Generator, kind: str) -> Array:
    shape, channels = (problem.n, problem.c, problem.pixels), (problem.c, 1)
    if kind == "far from zero":  # 1e4 times as far as from each other
        return 1e4 * rng.choice([-1, 1], channels) + rng.standard_normal(shape)
    if kind == "constant":
        return np.broadcast_to(1e6 * (1 + rng.random(channels)), shape)
    return INPUT_KINDS[kind](rng, shape)


def with_specials(rng: np.random.Generator, images: Array, apart: bool) -> Array:
    """The same with NaN and Inf of both signs: anywhere, or `apart`, each in another channel, as
    far as there are as many."""
    images = images.copy()
    n, c, pixels = images.shape
    channels = rng.permutation(c) if apart else rng.integers(c, size=3)
    for value, channel in zip((np.inf, -np.inf, np.nan), channels, strict=False):
        images[rng.integers(n), channel, rng.integers(pixels)] = value
    return images


#: Which of gamma and beta a draw has, and whether running statistics.
ALL, NEITHER, GAMMA, BETA = (True, True), (False, False), (True, False), (False, True)


@cache
def draw_forward(problem: BatchNorm, dtype: str) -> list[tuple[str, Forward]]:
    draws = []
    for kind, (has_gamma, has_beta), has_running in (
        ("normal", ALL, True),
        ("post_relu", NEITHER, False),
        ("far from zero", GAMMA, True),
        ("constant", BETA, True),
        ("sparse90", ALL, False),
        ("NaN and Inf", GAMMA, True),
        ("NaN and Inf in channels of their own", ALL, True),
    ):
        rng = generator("batch_norm", problem, kind, dtype)
        special = kind.startswith("NaN")
        x = draw_images(problem, rng, "normal" if special else kind).astype(dtype)
        mean, var = statistics(x.astype(np.float64))
        x = with_specials(rng, x, apart=kind != "NaN and Inf") if special else x
        gamma, beta, running_mean, shift = rng.standard_normal((4, problem.c))
        running_var, factor = 0.5 + rng.random((2, problem.c))
        drawn = Forward(
            x,
            rng.standard_normal(x.shape) if problem.residual else None,
            gamma if has_gamma else None,
            beta if has_beta else None,
            None if problem.training else mean + 0.1 * shift,
            None if problem.training else 0.1 + var * factor,
            running_mean if problem.training and has_running else None,
            running_var if problem.training and has_running else None,
        )
        draws.append((kind, Forward(*(None if a is None else a.astype(dtype) for a in drawn))))
    return draws


@cache
def draw_backward(problem: BatchNorm, dtype: str) -> list[tuple[str, Backward]]:
    """Operands that no forward pass computed, but whose values one could have left."""
    draws = []
    for kind, of_dy, (has_gamma, has_beta), need_dx, need_dr in (
        ("normal", "normal", ALL, True, True),
        ("post_relu", "a third", NEITHER, False, False),
        ("far from zero", "uniform", GAMMA, True, False),
        ("sparse90", "normal", BETA, False, True),
        ("normal", "NaN and Inf", ALL, True, True),
        ("NaN and Inf", "normal", ALL, True, True),
        ("uniform", "a third", GAMMA, True, False),
    ):
        what = f"x {kind}, dy {of_dy}"
        rng = generator("batch_norm backward", problem, what, dtype)
        x = draw_images(problem, rng, "normal" if kind.startswith("NaN") else kind).astype(dtype)
        mean, var = statistics(x.astype(np.float64))
        if kind.startswith("NaN"):
            x = with_specials(rng, x, apart=True)
            if problem.training:
                mean, var = statistics(x.astype(np.float64))
        if of_dy == "a third":  # what the mean of a model's output hands back
            dy = np.full(x.shape, 1 / 3)
        else:
            dy = draw_images(problem, rng, "normal" if of_dy.startswith("NaN") else of_dy)
            dy = with_specials(rng, dy, apart=True) if of_dy.startswith("NaN") else dy
        gamma, beta, shift = rng.standard_normal((3, problem.c))
        if not problem.training:
            mean, var = mean + 0.1 * shift, 0.1 + var * (0.5 + rng.random(problem.c))
        asks_y = problem.residual and problem.activation != "none"
        y = np.clip(2 + 4 * rng.standard_normal(x.shape), *BOUNDS[problem.activation])
        drawn = Backward(
            dy.astype(dtype),
            x,
            y.astype(dtype) if asks_y else None,
            gamma.astype(dtype) if has_gamma else None,
            beta.astype(dtype) if has_beta else None,
            mean.astype(dtype),
            var.astype(dtype),
            need_dx,
            need_dr and problem.residual,
        )
        draws.append((what, drawn if asks_y else away_from_bounds(problem, drawn)))
    return draws


def away_from_bounds(problem: BatchNorm, operands: Backward) -> Backward:
    """The same with those elements of x moved that the activation's argument would have within
    rounding of a bound: whether the gradient passes those is open."""
    x = operands.x.copy()
    _, scale, before = arguments(operands)
    for bound in BOUNDS[problem.activation]:
        near = np.abs(before - bound) < MARGIN
        step = np.maximum(2 * MARGIN / np.abs(scale), 2 * np.spacing(np.abs(x)))
        x[near] += step[near].astype(x.dtype)
    moved = operands._replace(x=x)
    _, _, before = arguments(moved)
    for bound in BOUNDS[problem.activation]:
        assert not (np.abs(before - bound) < MARGIN / 4).any(), "an element is near a bound"
    return moved


def arguments(operands: Backward) -> tuple[Array, Array, Array]:
    """In float64: one over the deviation, the factor of a channel, and what an activation is given
    where there is no residual."""
    x, gamma, beta, mean, var = wide(
        [operands.x, operands.gamma, operands.beta, operands.mean, operands.var]
    )
    inverse = 1 / np.sqrt(of_channels(var) + EPS)
    scale = inverse if gamma is None else of_channels(gamma) * inverse
    shift = 0 if beta is None else of_channels(beta)
    return inverse, scale, (x - of_channels(mean)) * scale + shift


def rounded(values: Array, dtype: str) -> Estimate:
    return Estimate(values, eps_of(dtype) * np.abs(values), eps_of(dtype))


def check_forward(
    problem: BatchNorm, dtype: str, operands: Forward, results: Results, what: str
) -> None:
    names = {"y"}
    if problem.training:
        names |= {"batch_mean", "batch_var"}
        names |= {
            name for name in ("running_mean", "running_var") if getattr(operands, name) is not None
        }
        check_statistics(problem, dtype, operands, results, what)
        mean, var = wide([results["batch_mean"], results["batch_var"]])
    else:
        mean, var = wide([operands.mean, operands.var])
    assert results.keys() == names, what

    x, r, gamma, beta = wide(operands[:4])
    scale = 1 / np.sqrt(var + EPS) * (1 if gamma is None else gamma)
    y = given(x, dtype) - given(of_channels(mean), dtype)
    y = y * rounded(of_channels(scale), dtype)
    if beta is not None:
        y = y + given(of_channels(beta), dtype)
    if r is not None:
        y = y + given(r, dtype)
    # Where x is infinite, y is what it is.
    tolerance = np.where(np.isfinite(y.value), y.error, 0)
    expected = np.clip(y.value, *BOUNDS[problem.activation])
    assert_within(
        results["y"], problem.in_memory(expected), problem.in_memory(tolerance), f"y, {what}"
    )


def check_statistics(
    problem: BatchNorm, dtype: str, operands: Forward, results: Results, what: str
) -> None:
    x = operands.x.astype(np.float64)
    mean, var = statistics(x)
    # Kernels take distances and squares from the mean of a block, which is as far off as a sum of
    # floats; the distances' sum corrects that. The reference takes them from a sum of doubles.
    size = np.abs(x).mean((0, 2))
    in_double = problem.m * eps_of("float64") * size
    squares = var + np.square(problem.off(size, 0, dtype))
    of_mean = eps_of(dtype) * np.abs(mean) + problem.off(np.sqrt(squares), 1, dtype) + in_double
    of_var = problem.off(squares, 3, dtype) + np.square(in_double)
    assert_within(results["batch_mean"], mean, of_mean, f"batch_mean, {what}")
    assert_within(results["batch_var"], var, of_var, f"batch_var, {what}")
    assert not (results["batch_var"] < 0).any(), f"batch_var is negative, {what}"

    unbiased = problem.m / np.float64(problem.m - 1)
    for name, value, tolerance in (
        ("running_mean", mean, of_mean),
        ("running_var", var * unbiased, of_var * unbiased),
    ):
        (before,) = wide([getattr(operands, name)])
        if before is None:
            continue
        parts = np.array([[1 - MOMENTUM], [MOMENTUM]])
        terms = given(np.stack([before, value]), dtype) * given(parts, dtype)
        after = terms[0] + terms[1]
        limit = after.error + MOMENTUM * tolerance
        assert_within(results[name], after.value, limit, f"{name}, {what}")


def check_backward(
    problem: BatchNorm, dtype: str, operands: Backward, results: Results, what: str
) -> None:
    names = {"dgamma", "dbeta"}
    names |= {name for name in ("dx", "dr") if getattr(operands, f"need_{name}")}
    assert results.keys() == names, what

    inverse, scale, before = arguments(operands)
    asked = before if operands.y is None else operands.y
    low, high = BOUNDS[problem.activation]
    stopped = (np.isfinite(low) & (asked <= low)) | (np.isfinite(high) & (asked >= high))
    g = np.where(stopped, 0, operands.dy)
    if operands.need_dr:
        assert_same_bits(results["dr"], problem.in_memory(g), f"dr, {what}")

    x, g, mean = wide([operands.x, g, of_channels(operands.mean)])
    h = (x - mean) * inverse
    eps = eps_of(dtype)
    dbeta, dgamma = g.sum((0, 2)), (g * h).sum((0, 2))
    # The sum in double is rounded to a float; so are, before, the distance and its product.
    of_dbeta = problem.off(np.abs(g).sum((0, 2)), 1, dtype)
    of_dgamma = problem.off(np.abs(g * h).sum((0, 2)), 3, dtype)
    assert_within(results["dbeta"], dbeta, of_dbeta, f"dbeta, {what}")
    assert_within(results["dgamma"], dgamma, of_dgamma, f"dgamma, {what}")
    if not operands.need_dx:
        return

    dx = given(g, dtype)
    if problem.training:
        per_element = inverse / problem.m
        offset = Estimate(of_channels(dbeta), of_channels(of_dbeta), eps)
        slope = Estimate(of_channels(dgamma), of_channels(of_dgamma), eps)
        distance = given(x, dtype) - given(mean, dtype)
        dx = dx - offset * given(np.full_like(inverse, 1 / problem.m), dtype)
        dx = dx - distance * (slope * given(per_element, dtype))
    dx = rounded(scale, dtype) * dx
    assert_within(
        results["dx"], problem.in_memory(dx.value), problem.in_memory(dx.error), f"dx, {what}"
    )


LAYOUTS = ("nchw", "channels_last")


def small_cases() -> list[BatchNorm]:
    """Channels and pixels around the widths of vectors, with each way of doing it."""
    ways = list(product((True, False), BOUNDS, (False, True)))
    return [
        BatchNorm(1 + i % 3, SIZES[i % 9 - 4], SIZES[i % 9], layout, *way)
        for layout in LAYOUTS
        for i, way in enumerate(2 * ways)
    ]


PROBLEMS = [
    *small_cases(),
    *(
        BatchNorm(*sizes, *way)
        for sizes in (
            # Planes of several images in a block, and planes of several blocks.
            (9, 3, 49, "nchw"),
            (200, 2, 49, "nchw"),
            (4000, 2, 1, "nchw"),
            (2, 2, 5000, "nchw"),
            (1, 1, 8193, "nchw"),
            # Several blocks of pixels, and more channels than there are vectors side by side.
            (9, 3, 49, "channels_last"),
            (3, 1, 11000, "channels_last"),
            (2, 3, 5461, "channels_last"),
            (2, 70, 500, "channels_last"),
            (300, 130, 2, "channels_last"),
            (1, 2500, 40, "channels_last"),
        )
        for way in ((True, "relu", True), (True, "clamp", False), (False, "none", False))
    ),
]

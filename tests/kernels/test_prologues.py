"""Every forward kernel of conv2d that has a prologue: sums of what that makes of x."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, NamedTuple

import conv2d
import numpy as np
import pytest
from bindings import THREADS, Array, Kernel, _kernels
from numerics import assert_within, eps_of, generator, sum_tolerance
from problem import Operands, each_kernel
from windows import LAYOUTS, pack


@dataclass(frozen=True)
class Prepared(conv2d.Conv2d):
    """Not every kernel takes a prologue in both layouts."""

    def suits(self, kernel: Kernel) -> bool:
        takes_prologue = _kernels.conv2d.takes_prologue(kernel.name, **self.shape)
        return super().suits(kernel) and takes_prologue


class Prologue(NamedTuple):
    has_shift: bool
    relu: bool
    per_image: bool

    def draw(self, problem: Prepared, dtype: str) -> dict[str, Any]:
        """Its fields: csrc/common/numpy/prologue.h."""
        rng = generator("prologue", self, problem)
        scales = problem.n if self.per_image else 1, problem.c_in
        scale = rng.choice((-1, 1), scales) * rng.uniform(0.5, 2, scales)
        given = {"scale": scale.astype(dtype), "relu": self.relu}
        if self.has_shift:
            given["shift"] = rng.standard_normal(problem.c_in).astype(dtype)
        return given


#: Batch norms with and without ReLU, the gate of a squeeze-and-excitation, and all together. Each
#: with how many elements lie between the pixels of x, where it is channels_last.
PROLOGUES = (
    (Prologue(has_shift=True, relu=True, per_image=False), 0),
    (Prologue(has_shift=True, relu=False, per_image=False), 3),
    (Prologue(has_shift=False, relu=False, per_image=True), 0),
    (Prologue(has_shift=True, relu=True, per_image=True), 16),
)


def behind_prologues(*names: str) -> pytest.MarkDecorator:
    problems = [
        Prepared(**{field.name: getattr(problem, field.name) for field in fields(problem)})
        for problem in conv2d.named(*names)
    ]
    params = each_kernel("conv2d", "forward", problems=problems)
    return pytest.mark.parametrize("kernel, problem", params)


FEW = (
    *("even_kernel", "groups_of_17", "depthwise_even", "1x1_16_to_15@7", "3x3_16_to_15@7"),
    *("3x3_short_rows", "5x5", "2x3_dilated_of_48"),
)
each = behind_prologues(
    *FEW,
    *("image_is_all_padding", "3x3_s2", "depthwise_33_s2", "1x1_deep", "3x3_panels"),
    *("1x1_33_to_31@15", "3x3_s2_of_16", "1x1_s2_wide_deep", "5x5_rounds"),
)
each_of_few = behind_prologues(*FEW)


@cache
def draw(problem: Prepared, dtype: str) -> Operands:
    rng = generator("prologues", problem, dtype)
    x, w, y = (rng.standard_normal(problem.shapes[name]) for name in "xwy")
    return Operands(x, w, None, y).map(lambda a: a.astype(dtype))


def prepare(x: Array, prologue: Mapping[str, Any]) -> tuple[Array, Array]:
    """What the prologue makes of x, and the size of what it adds up for that."""
    scale = prologue["scale"].astype(np.float64)[:, :, None, None]
    shift = prologue.get("shift", np.zeros(1)).astype(np.float64)[:, None, None]
    scaled = x * scale
    size = np.abs(scaled) + np.abs(shift)
    if not prologue["relu"]:
        return scaled + shift, size
    certainly_zero = scaled + shift < -1e-3 * np.where(np.isfinite(size), size, 0)
    return np.maximum(scaled + shift, 0), np.where(certainly_zero, 0, size)


def expected(problem: Prepared, operands: Operands, dtype: str) -> tuple[Array, Array]:
    """The exact sums and how far off they may be: as sums of so many terms, each of which has been
    rounded up to twice before."""
    with np.errstate(invalid="ignore"):
        wide = operands.map(lambda a: a.astype(np.float64))
        x, size = prepare(wide.x, operands.prologue)
        magnitude = problem.exact("forward", replace(wide, x=size, w=np.abs(wide.w)))
        tolerance = sum_tolerance(magnitude, problem.terms("forward"), dtype)
        tolerance += 2 * eps_of(dtype) * magnitude
        return problem.exact("forward", replace(wide, x=x)), tolerance


def prepared(problem: Prepared, operands: Operands) -> Iterator[tuple[str, Operands, int]]:
    """The operands with every prologue, and numbers of threads."""
    for (prologue, gap), threads in zip(PROLOGUES, itertools.cycle(THREADS)):
        given = replace(operands, prologue=prologue.draw(problem, str(operands.x.dtype)))
        if problem.layout == "channels_last":
            given = given.in_larger_buffers(gap, 0)
        yield f"{prologue}, {threads} threads", given, threads


def check(kernel: Kernel, problem: Prepared, operands: Operands) -> None:
    for what, given, threads in prepared(problem, operands):
        exact, tolerance = expected(problem, given, kernel.dtype)
        y = problem.run(kernel, given, threads=threads)["result"]
        assert_within(y, exact, problem.limits(kernel, tolerance), what)


@each
def test_sums(kernel: Kernel, problem: Prepared) -> None:
    check(kernel, problem, draw(problem, kernel.dtype))


@each_of_few
def test_sums_that_are_not_finite(kernel: Kernel, problem: Prepared) -> None:
    operands = draw(problem, kernel.dtype)
    x = operands.x.copy()
    values = np.array([np.nan, np.inf, -np.inf])[: x.size]
    places = generator("special values", problem).choice(x.size, len(values), replace=False)
    x.flat[places] = values
    check(kernel, problem, replace(operands, x=x))


@each_of_few
def test_filters_that_are_not_finite(kernel: Kernel, problem: Prepared) -> None:
    """A tap that meets the border has no part in the sum."""
    operands = draw(problem, kernel.dtype)
    w = operands.w.copy()
    w[0, 0, 0, 0], w[-1, -1, -1, -1] = np.inf, np.nan
    finite = np.isfinite(w)
    taken = problem.exact("forward", replace(operands, x=np.ones_like(operands.x), w=~finite)) > 0
    for what, given, threads in prepared(problem, replace(operands, w=w)):
        y = problem.run(kernel, given, threads=threads)["result"]
        np.testing.assert_array_equal(np.isfinite(y), ~taken, what)
        clean = replace(given, w=np.where(finite, w, 0))
        exact, tolerance = expected(problem, clean, kernel.dtype)
        limits = problem.limits(kernel, tolerance)
        assert_within(np.where(taken, 0, y), np.where(taken, 0, exact), limits, what)


@each_of_few
def test_integers_are_exact(kernel: Kernel, problem: Prepared) -> None:
    rng = generator("integers behind a prologue", problem)

    def integers(*shape: int) -> Array:
        return rng.integers(-4, 5, shape).astype(kernel.dtype)

    x, w, dy = (integers(*problem.shapes[name]) for name in "xwy")
    scale, shift = integers(1, problem.c_in), integers(problem.c_in)
    prologue = {"scale": scale, "shift": shift, "relu": True}
    operands = Operands(x, w, None, dy, prologue=prologue)
    exact, _ = expected(problem, operands, kernel.dtype)
    y = problem.run(kernel, operands, threads=2)["result"]
    np.testing.assert_array_equal(y, exact)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_found_in_values(layout: str) -> None:
    """In those that the prologue makes: zeros here, where x is negative."""
    problem = Prepared("", 2, 40, (30, 34), 48, (3, 3), padding=(1, 1), layout=layout)
    operands = draw(problem, "float32")
    rng = generator("empty windows", problem)
    is_used = rng.random((2, 1, 30, 34)) < 0.1
    x = np.where(is_used, operands.x, -np.abs(operands.x))
    ones = {"scale": np.ones(40, np.float32), "relu": True}
    found = found_in(problem, pack(x, layout), operands.w, prologue=ones)
    assert found == found_in(problem, pack(np.maximum(x, 0), layout), operands.w)
    _, kind, tiles, plain_tiles = found
    assert kind == "ordinary" and 0 < plain_tiles < tiles


def found_in(problem: Prepared, x: Array, w: Array, **prologue: Any) -> tuple[str, str, int, int]:
    strides = {"w_strides": conv2d.filter_strides(w.shape, "oihw"), "threads": 2}
    return _kernels.conv2d.choose(x, w, **prologue, **strides, **problem.shape)


def test_kernels_without_one_are_not_chosen() -> None:
    problem = Prepared("", 1, 64, (14, 14), 64, (1, 1))
    operands = draw(problem, "float32")
    ones = {"scale": np.ones(64, np.float32)}
    without, *_ = found_in(problem, operands.x, operands.w)
    assert not _kernels.conv2d.takes_prologue(without, **problem.shape)
    chosen, *_ = found_in(problem, operands.x, operands.w, prologue=ones)
    assert _kernels.conv2d.takes_prologue(chosen, **problem.shape)
    kernel = Kernel("conv2d", without, "forward", "baseline", "float32")
    with pytest.raises(ValueError, match=f"'{without}' takes no prologue for this shape"):
        problem.run(kernel, replace(operands, prologue=ones), threads=1)


@pytest.mark.parametrize(
    ("prologue", "error", "message"),
    [
        ({"relu": True}, TypeError, "a prologue needs a scale"),
        ({"scale": np.ones(3, np.float32)}, ValueError, "scale must have 8 elements, but has 3"),
        ({"slope": 1}, TypeError, "a prologue has no field 'slope'"),
    ],
)
def test_wrong_fields(prologue: dict[str, Any], error: type[Exception], message: str) -> None:
    problem = Prepared("", 2, 4, (5, 6), 3, (3, 3))
    operands = replace(draw(problem, "float32"), prologue=prologue)
    kernel = Kernel("conv2d", "conv2d_reference_f32", "forward", "baseline", "float32")
    with pytest.raises(error, match=message):
        problem.run(kernel, operands, threads=1)

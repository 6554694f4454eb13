"""linear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cnnext
from cnnext.testing.cases import VECTOR_SIZES, LinearCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from cnnext.testing.specs.linear import EDGE_LINEARS, LINEARS
from tests.ops import problems
from tests.ops.graphs import (
    ALL_CHECKS,
    BACKENDS,
    BIAS_BY_INDUCTOR,
    FAKE_CHECK,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    VIEWS,
    Problem,
    check_derivatives,
    check_deterministic,
    check_everything,
    check_sum_gradient,
    dtype_of,
    generator_for,
    kernel_cases,
    only_kernel,
    results_by_kernel,
    seed_gradient,
    use_threads,
)

INPUT, WEIGHT, BIAS = range(3)

LENET = LINEARS[:3]
LARGE = tuple(case for case in LINEARS if case.name in ("resnet50_fc", "vgg16_fc8"))
SMALL = (*EDGE_LINEARS, *LENET)
PLAIN = LinearCase("plain", 5, 7, 9)


def call(case: LinearCase, kind: str, kernel: str) -> Problem:
    return problems.cached(problems.linear, case, kind, "nchw", dtype_of(kernel))


def kinds(case: LinearCase) -> Any:
    return INPUT_KINDS if case in SMALL else ("normal",)


# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("linear", "forward", SMALL, LARGE))
def test_forward(kernel: str, case: LinearCase) -> None:
    for kind in kinds(case):
        problem = call(case, kind, kernel)
        with only_kernel("linear", kernel), use_threads(3):
            ours = problem.outputs(CNNEXT)
        problem.check_outputs(ours, what=f"{kind} output")


@pytest.mark.slow
@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("case", LINEARS, ids=str)
def test_forward_of_networks(case: LinearCase, kind: str) -> None:
    problem = problems.linear(case, kind)
    for kernel, ours in results_by_kernel("linear", "forward", lambda: problem.outputs(CNNEXT)):
        problem.check_outputs(ours, what=f"{kernel} output")


@pytest.mark.parametrize("case", EDGE_LINEARS, ids=str)
def test_forward_without_bias(case: LinearCase) -> None:
    check_everything(problems.linear(case, bias=False))


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("linear", "bwd_input", SMALL, LARGE))
def test_backward_input(kernel: str, case: LinearCase) -> None:
    check_backward(kernel, case, INPUT)


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("linear", "bwd_weight", SMALL, LARGE))
def test_backward_weight(kernel: str, case: LinearCase) -> None:
    check_backward(kernel, case, WEIGHT)


def check_backward(kernel: str, case: LinearCase, place: int) -> None:
    for kind in kinds(case):
        problem = call(case, kind, kernel)
        with only_kernel("linear", kernel), use_threads(3):
            ours = problem.gradients(CNNEXT, place)
        problem.check_gradients(ours, place, what=f"{kind} gradient")


@pytest.mark.slow
@pytest.mark.parametrize("case", LINEARS, ids=str)
def test_backward_of_networks(case: LinearCase) -> None:
    problem = problems.linear(case)
    for direction, place in (("bwd_input", INPUT), ("bwd_weight", WEIGHT)):
        results = results_by_kernel(
            "linear", direction, lambda place=place: problem.gradients(CNNEXT, place)
        )
        for kernel, ours in results:
            problem.check_gradients(ours, place, what=f"{kernel} gradient")


@pytest.mark.parametrize("wanted", ((INPUT,), (WEIGHT,), (BIAS,), (INPUT, BIAS)), ids=str)
def test_backward_computes_what_is_wanted(wanted: tuple[int, ...]) -> None:
    problem = problems.linear(PLAIN)
    problem.check_gradients(problem.gradients(CNNEXT, *wanted), *wanted)


@pytest.mark.parametrize("case", EDGE_LINEARS, ids=str)
def test_gradient_of_a_sum(case: LinearCase) -> None:
    check_sum_gradient(problems.linear(case))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("shape", ((3,), (2, 3), (2, 2, 3)), ids=str)
def test_derivatives(shape: tuple[int, ...], bias: bool, generator: torch.Generator) -> None:
    operands = (
        make_input("normal", shape, generator),
        make_input("normal", (4, 3), generator),
        make_input("normal", (4,), generator) if bias else None,
    )
    check_derivatives(Problem(lambda library, v: (library.linear(*v),), operands))


# ------------------------------------------------------------------------------------ opcheck


def check_all_ops(problem: Problem, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    image, weight, bias = problem.operands
    check_op("linear_forward", image, weight, bias, checks=checks)
    gradient = seed_gradient(torch.ops.cnnext.linear_forward(image, weight, bias))
    check_op("linear_backward_input", gradient, weight, checks=checks)
    check_op("linear_backward_weight", gradient, image, checks=checks)
    check_op("linear", *problem.leaves(*problem.places), checks=checks)


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("case", (PLAIN, LinearCase("one", 1, 1, 1)), ids=str)
def test_opcheck(case: LinearCase, bias: bool) -> None:
    check_all_ops(problems.linear(case, bias=bias))


@pytest.mark.parametrize("shape", ((7,), (1, 7), (4, 7), (2, 3, 7), (2, 1, 3, 7), (0, 7)), ids=str)
def test_strides_of_fake_tensors(shape: tuple[int, ...], generator: torch.Generator) -> None:
    image = make_input("normal", shape, generator)
    weight = make_input("normal", (3, 7), generator)
    for view in VIEWS.values():
        check_all_ops(Problem(lambda *_: (), (view(image), view(weight), None)), FAKE_CHECK)


# ---------------------------------------------------------------------------- compile, export


@pytest.mark.parametrize("bias", BIAS_BY_INDUCTOR)
def test_compile_by_inductor(bias: bool) -> None:
    check_compiled("linear", problems.linear(PLAIN, bias=bias), "inductor")


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_compile(bias: bool, backend: str) -> None:
    check_compiled("linear", problems.linear(PLAIN, bias=bias), backend)


def test_compile_with_dynamic_batch() -> None:
    check_dynamic_batch("linear", lambda batch: problems.linear(PLAIN.with_batch(batch)))


def test_export() -> None:
    def inputs(batch: int) -> tuple[Tensor]:
        return (make_input("normal", (batch, 3, 7), generator_for(batch)),)

    check_exported("linear", cnnext.Linear(7, 5), inputs)


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("weight_view", VIEWS)
@pytest.mark.parametrize("view", VIEWS)
def test_views(view: str, weight_view: str) -> None:
    for dtype in DTYPES:
        problem = problems.linear(PLAIN, dtype=dtype)
        image, weight, bias = problem.operands
        operands = (VIEWS[view](image), VIEWS[weight_view](weight), VIEWS["sliced"](bias))
        check_everything(replace(problem, operands=operands))


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_grad_output(view: str) -> None:
    problem = problems.linear(PLAIN)
    problem = replace(problem, seed=lambda output: VIEWS[view](seed_gradient(output)))
    problem.check_gradients(problem.gradients(CNNEXT))


@pytest.mark.parametrize("axis", (0, 1))
def test_expanded_operands(axis: int) -> None:
    problem = problems.linear(PLAIN)
    image, weight, bias = problem.operands
    operands = tuple(t.narrow(axis, 0, 1).expand_as(t) for t in (image, weight))
    check_everything(replace(problem, operands=(*operands, bias[:1].expand_as(bias))))


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize(
    "leading", ((), (1,), (5,), (2, 3), (2, 1, 3), (3, 2, 2, 2), (0,), (2, 0, 3)), ids=str
)
def test_leading_dimensions(leading: tuple[int, ...], generator: torch.Generator) -> None:
    image = make_input("normal", (*leading, 7), generator)
    _, weight, bias = problems.linear(PLAIN).operands
    problem = Problem(lambda library, v: (library.linear(*v),), (image, weight, bias))
    check_everything(problem)
    if 0 in leading:
        gradient = problem.gradients(CNNEXT, WEIGHT)[0]
        assert_bitwise_equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("channels_last", (False, True), ids=("nchw", "channels_last"))
def test_images(channels_last: bool, generator: torch.Generator) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image = make_input("normal", (2, 3, 5, 7), generator).contiguous(memory_format=layout)
    _, weight, bias = problems.linear(PLAIN).operands
    check_everything(Problem(lambda library, v: (library.linear(*v),), (image, weight, bias)))


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_sizes_around_the_vectors(size: int) -> None:
    for m, k, n in ((size, 3, 5), (3, size, 5), (3, 5, size), (1, size, size), (size, size, 1)):
        check_everything(problems.linear(LinearCase(f"{m}_{k}_{n}", m, k, n)).positive())


@pytest.mark.parametrize("m, k, n", ((2, 0, 3), (2, 3, 0), (0, 3, 4), (0, 0, 0)))
def test_sizes_of_zero(m: int, k: int, n: int) -> None:
    for bias in (True, False):
        check_everything(problems.linear(LinearCase("zero", m, k, n), bias=bias))


@given(
    case=st.builds(
        LinearCase, st.just("fuzz"), st.integers(1, 40), st.integers(1, 300), st.integers(1, 70)
    ),
    dtype=st.sampled_from(DTYPES),
)
def test_any_shape(case: LinearCase, dtype: torch.dtype) -> None:
    check_everything(problems.linear(case, dtype=dtype).positive())


@pytest.mark.parametrize("case", (PLAIN, *LARGE), ids=str)
def test_same_bits_twice(case: LinearCase) -> None:
    check_deterministic(problems.linear(case))

"""What every operator computes: its kernels by name, edge cases, derivatives, threads."""

from __future__ import annotations

import concurrent.futures
import functools
from typing import Any

import pytest
import torch

import cnnext
from cnnext.explain import predicted_candidates
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal
from tests.ops import problems
from tests.ops.specs import SPECS, WEIGHTED, Spec, each_case, each_spec
from tests.ops.support import (
    CNNEXT,
    NATIVE,
    Problem,
    Tensors,
    assert_same_sums,
    check_derivatives,
    check_deterministic,
    check_sum_gradient,
    dtype_of,
    kernel_cases,
    only_kernel,
    results_by_kernel,
    use_threads,
)
from tests.pytorch_integration.cases import Operator, each_operator

#: The places of the operands whose gradients a direction computes: of none, of one, or of all.
GRADIENTS = {"forward": None, "bwd_input": (0,), "bwd_weight": (1,), "backward": ()}

# ------------------------------------------------------------------------------------- kernels


@functools.cache
def applicable(direction: str, is_double: bool, layout: str, case: Conv2dCase) -> frozenset[str]:
    """The kernels that can convolve a case in a layout."""
    shape = (case.n, case.c_in, case.h_in, case.w_in, case.c_out, case.k_h, case.k_w)
    options = (*case.stride, *case.padding, *case.dilation, case.groups)
    predicted = predicted_candidates(
        direction, is_double, layout == "channels_last", (*shape, *options)
    )
    return frozenset(candidate.name for candidate in predicted.candidates)


def layouts_of(spec: Spec, kernel: str, case: Any) -> list[str]:
    """The layouts in which a kernel can compute a case."""
    if spec.name != "conv2d":
        return list(spec.layouts)
    direction = next((d for d in ("bwd_input", "bwd_weight") if d in kernel), "forward")
    is_double = dtype_of(kernel) == torch.float64
    return [name for name in spec.layouts if kernel in applicable(direction, is_double, name, case)]


def kernels_of(spec: Spec, direction: str, *cases: Any, networks: tuple[Any, ...] = ()) -> Any:
    def may_apply(kernel: str, case: Any) -> bool:
        return bool(layouts_of(spec, kernel, case))

    return kernel_cases(spec.kernels[0], direction, cases, networks, may_apply)


#: The convolutions of ResNet-50 that take milliseconds and have the longest sums, of 4608, 2048 and
#: 1024 terms, and one of GoogLeNet: its gradient would lose too much to Winograd's transforms.
DEEP = (
    *("resnet50_3x3_512@7", "resnet50_1x1_2048_512@7", "resnet50_1x1_s2_1024_2048@14"),
    "googlenet_5x5_32_128@14",
)


def networks_of(spec: Spec) -> tuple[Any, ...]:
    """Those that take milliseconds."""
    if spec.name == "conv2d":
        return tuple(case for case in spec.cases if case.name in DEEP)
    return spec.cases[-2:]


KERNELS = [
    pytest.param(spec, direction, *param.values, id=param.id, marks=param.marks)
    for spec in SPECS
    for direction in spec.directions
    for param in kernels_of(spec, direction, *spec.edge_cases, networks=networks_of(spec))
]


def results(spec: Spec, direction: str, problem: Problem) -> Tensors:
    places = GRADIENTS[direction]
    return problem.outputs(CNNEXT) if places is None else problem.gradients(CNNEXT, *places)


def check_results(spec: Spec, direction: str, problem: Problem, ours: Tensors, what: str) -> None:
    places = GRADIENTS[direction]
    if spec.exact or (places is None and spec.results == "selected"):
        native = problem.native_outputs if places is None else problem.native_gradients
        assert_bitwise_equal(ours[0], native[0], what=what)
    elif places is None:
        problem.check_outputs(ours, what=f"{what} output")
    else:
        problem.check_gradients(ours, *places, what=f"{what} gradient")


@pytest.mark.parametrize(("spec", "direction", "kernel", "case"), KERNELS)
def test_kernel(spec: Spec, direction: str, kernel: str, case: Any) -> None:
    """A few cases each: torch adds nothing to what tests/kernels shows of all."""
    builder = getattr(problems, spec.name)
    for kind in INPUT_KINDS if case in spec.edge_cases else ("normal",):
        for layout in layouts_of(spec, kernel, case):
            problem = problems.cached(builder, case, kind, layout, dtype_of(kernel))
            with only_kernel(spec.kernels[0], kernel), use_threads(3):
                ours = results(spec, direction, problem)
            check_results(spec, direction, problem, ours, f"{kind} {layout}")


@pytest.mark.slow
@each_case("cases")
def test_networks(spec: Spec, case: Any) -> None:
    for kind in INPUT_KINDS:
        for layout in spec.layouts:
            problem = spec.problem(case, kind).in_layout(layout)
            for direction in spec.directions:
                compute = functools.partial(results, spec, direction, problem)
                for kernel, ours in results_by_kernel(spec.kernels[0], direction, compute):
                    check_results(spec, direction, problem, ours, f"{kernel} {kind} {layout}")


# ---------------------------------------------------------------------------------- edge cases


@each_case("edge_cases")
def test_edge_case(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        problem = spec.problem(case).in_layout(layout)
        check_deterministic(problem)
        check_sum_gradient(problem)
        for either in spec.with_and_without_bias(problem):
            spec.check(either)


@each_case("typical_cases", *WEIGHTED)
def test_backward_computes_what_is_wanted(spec: Spec, case: Any) -> None:
    problem = spec.problem(case)
    first, *_, last = problem.places
    for wanted in (*((place,) for place in problem.places), (first, last)):
        problem.check_gradients(problem.gradients(CNNEXT, *wanted), *wanted)


@each_spec
def test_same_bits_by_several_threads(spec: Spec) -> None:
    *_, case = (*spec.edge_cases, *networks_of(spec))
    for layout in spec.layouts:
        with use_threads(3):
            check_deterministic(spec.problem(case).in_layout(layout))


@each_case("tiny_cases")
def test_derivatives(spec: Spec, case: Any) -> None:
    for layout in spec.layouts if len(case.input_shape) == 4 else ("nchw",):
        problem = spec.problem(case, dtype=torch.float64).mapped_at(0, spec.smooth)
        for either in spec.with_and_without_bias(problem.in_layout(layout)):
            check_derivatives(either)


# ------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", (2, 3, 8))
@each_operator
def test_any_number_of_threads(op: Operator, threads: int) -> None:
    with use_threads(threads):
        assert_same_sums(op.trained(CNNEXT), op.trained(NATIVE))


def test_calls_from_many_threads_do_not_mix() -> None:
    layer = cnnext.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    images = [torch.randn(1, 16, 8 + 2 * (i % 3), 9) for i in range(12)]
    expected = [layer(image) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, value in zip(pool.map(layer, images), expected, strict=True):
                assert_bitwise_equal(result, value)

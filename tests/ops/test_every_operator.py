"""What every operator computes: its kernels by name, edge cases, derivatives, threads."""

from __future__ import annotations

import concurrent.futures
import functools
from dataclasses import replace
from typing import Any

import pytest
import torch

import cnnext
from cnnext.explain import predicted_candidates
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal
from tests.ops import problems
from tests.ops.specs import SPECS, Spec, each_case, each_spec
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
from tests.pytorch_integration.cases import Operator, each_operator, loss_of

#: The places of the operands whose gradients a direction computes.
GRADIENTS = {"forward": (), "bwd_input": (0,), "bwd_weight": (1,)}

# ------------------------------------------------------------------------------------- kernels


@functools.cache
def applicable(direction: str, is_double: bool, layout: str, case: Conv2dCase) -> frozenset[str]:
    """The kernels that can convolve a case in a layout."""
    shape = (case.n, case.c_in, case.h_in, case.w_in, case.c_out, case.k_h, case.k_w)
    options = (*case.stride, *case.padding, *case.dilation, case.groups)
    _, candidates = predicted_candidates(
        direction, is_double, layout == "channels_last", (*shape, *options)
    )
    return frozenset(candidate.name for candidate in candidates)


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

    return kernel_cases(spec.name, direction, cases, networks, may_apply)


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
    for direction in GRADIENTS
    for param in kernels_of(spec, direction, *spec.edge_cases, networks=networks_of(spec))
]


def results(spec: Spec, direction: str, problem: Problem) -> Tensors:
    places = GRADIENTS[direction]
    return problem.gradients(CNNEXT, *places) if places else problem.outputs(CNNEXT)


def check_results(spec: Spec, direction: str, problem: Problem, ours: Tensors, what: str) -> None:
    places = GRADIENTS[direction]
    if spec.exact:
        native = problem.native_gradients if places else problem.native_outputs
        assert_bitwise_equal(ours[0], native[0], what=what)
    elif places:
        problem.check_gradients(ours, *places, what=f"{what} gradient")
    else:
        problem.check_outputs(ours, what=f"{what} output")


@pytest.mark.parametrize(("spec", "direction", "kernel", "case"), KERNELS)
def test_kernel(spec: Spec, direction: str, kernel: str, case: Any) -> None:
    """A few cases each: torch adds nothing to what tests/kernels shows of all."""
    builder = getattr(problems, spec.name)
    for kind in INPUT_KINDS if case in spec.edge_cases else ("normal",):
        for layout in layouts_of(spec, kernel, case):
            problem = problems.cached(builder, case, kind, layout, dtype_of(kernel))
            with only_kernel(spec.name, kernel), use_threads(3):
                ours = results(spec, direction, problem)
            check_results(spec, direction, problem, ours, f"{kind} {layout}")


@pytest.mark.slow
@each_case("cases")
def test_networks(spec: Spec, case: Any) -> None:
    for kind in INPUT_KINDS:
        for layout in spec.layouts:
            problem = spec.problem(case, kind).in_layout(layout)
            directions = ("forward", "bwd_input", *(("bwd_weight",) if spec.has_bias else ()))
            for direction in directions:
                compute = functools.partial(results, spec, direction, problem)
                for kernel, ours in results_by_kernel(spec.name, direction, compute):
                    check_results(spec, direction, problem, ours, f"{kernel} {kind} {layout}")


# ---------------------------------------------------------------------------------- edge cases


@each_case("edge_cases")
def test_edge_case(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        problem = spec.problem(case).in_layout(layout)
        spec.check(problem)
        check_deterministic(problem)
        check_sum_gradient(problem)
        if spec.has_bias:
            spec.check(replace(problem, operands=(*problem.operands[:2], None)))


@pytest.mark.parametrize("wanted", ((0,), (1,), (2,), (0, 2)), ids=str)
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.has_bias], ids=lambda s: s.name)
def test_backward_computes_what_is_wanted(spec: Spec, wanted: tuple[int, ...]) -> None:
    problem = spec.problem(spec.typical_cases[0])
    problem.check_gradients(problem.gradients(CNNEXT, *wanted), *wanted)


@each_spec
def test_same_bits_by_several_threads(spec: Spec) -> None:
    for layout in spec.layouts:
        with use_threads(3):
            check_deterministic(spec.problem(networks_of(spec)[-1]).in_layout(layout))


@each_case("tiny_cases")
def test_derivatives(spec: Spec, case: Any) -> None:
    for layout in spec.layouts if len(case.input_shape) == 4 else ("nchw",):
        problem = spec.problem(case, dtype=torch.float64)
        x, *rest = problem.operands
        for others in (rest, [*rest[:-1], None]) if spec.has_bias else (rest,):
            operands = (spec.smooth(x), *others)
            check_derivatives(replace(problem, operands=operands).in_layout(layout))


# ------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", (2, 3, 8))
@each_operator
def test_any_number_of_threads(op: Operator, threads: int) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        leaves = op.leaves()
        with use_threads(threads):
            outputs = op.call(library, *leaves)
            results.append((outputs, torch.autograd.grad(loss_of(outputs), leaves)))
    assert_same_sums(*results)


def test_calls_from_many_threads_do_not_mix() -> None:
    layer = cnnext.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    images = [torch.randn(1, 16, 8 + 2 * (i % 3), 9) for i in range(12)]
    expected = [layer(image) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, value in zip(pool.map(layer, images), expected, strict=True):
                assert_bitwise_equal(result, value)

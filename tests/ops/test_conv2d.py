"""conv2d: every kernel against float64, its gradients, and their gradients.

Graphs, layouts, the module and errors have files of their own beside this one.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from cnnext.explain import predicted_candidates
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import ALEXNET, EDGE, GOOGLENET, LENET5, RESNET50, VGG16
from cnnext.testing.errors import INPUT_KINDS, make_input
from tests.ops import problems
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    NATIVE,
    Problem,
    assert_same_sums,
    check_derivatives,
    check_deterministic,
    check_everything,
    check_sum_gradient,
    dtype_of,
    kernel_cases,
    only_kernel,
    results_by_kernel,
    seed_gradient,
    use_threads,
)

INPUT, WEIGHT, BIAS = range(3)

_DEEPEST = ("resnet50_3x3_512@7", "resnet50_1x1_2048_512@7", "resnet50_1x1_s2_1024_2048@14")

#: Of ResNet-50, what takes milliseconds and sums most: over 4608, 2048 and 1024 terms. And of
#: GoogLeNet a filter whose gradient Winograd's transforms would round too coarsely.
NETWORK = tuple(
    case for case in (*RESNET50, *GOOGLENET) if case.name in (*_DEEPEST, "googlenet_5x5_32_128@14")
)
NETWORKS = (*ALEXNET, *VGG16, *GOOGLENET, *RESNET50)
SMALL = (*EDGE, *LENET5)


@functools.cache
def problem_with(value: float, case: Conv2dCase, layout: str, dtype: torch.dtype) -> Problem:
    """One pixel of the input, in its middle, has that value."""
    problem = problems.conv2d(case, dtype=dtype).in_layout(layout)
    image = problem.operands[INPUT]
    if image.numel() > 0:
        image[tuple(size // 2 for size in image.shape)] = value
    return problem


@functools.cache
def applicable(direction: str, is_double: bool, layout: str, case: Conv2dCase) -> frozenset[str]:
    """The kernels that can compute a case in a layout."""
    shape = (case.n, case.c_in, case.h_in, case.w_in, case.c_out, case.k_h, case.k_w)
    options = (*case.stride, *case.padding, *case.dilation, case.groups)
    _, candidates = predicted_candidates(
        direction, is_double, layout == "channels_last", (*shape, *options)
    )
    return frozenset(candidate.name for candidate in candidates)


def layouts_of(kernel: str, case: Conv2dCase) -> list[str]:
    """The layouts in which a kernel can compute a case."""
    direction = next((d for d in ("bwd_input", "bwd_weight") if d in kernel), "forward")
    is_double = dtype_of(kernel) == torch.float64
    return [name for name in LAYOUTS if kernel in applicable(direction, is_double, name, case)]


def may_apply(kernel: str, case: Conv2dCase) -> bool:
    return bool(layouts_of(kernel, case))


def threads_for(case: Conv2dCase) -> int:
    """Small cases are one chunk of work; the others are split unevenly."""
    return 1 if case in SMALL else 3


conv2d_kernels = functools.partial(kernel_cases, "conv2d", may_apply=may_apply)

# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("forward", SMALL, NETWORK))
def test_forward(kernel: str, case: Conv2dCase) -> None:
    for kind in INPUT_KINDS if case in SMALL else ("normal",):
        for layout in layouts_of(kernel, case):
            problem = problems.cached(problems.conv2d, case, kind, layout, dtype_of(kernel))
            with only_kernel("conv2d", kernel), use_threads(threads_for(case)):
                ours = problem.outputs(CNNEXT)
            problem.check_outputs(ours, what=f"{kind} {layout} output")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("case", NETWORKS, ids=str)
def test_forward_of_networks(case: Conv2dCase, kind: str, layout: str) -> None:
    problem = problems.conv2d(case, kind).in_layout(layout)
    for kernel, ours in results_by_kernel("conv2d", "forward", lambda: problem.outputs(CNNEXT)):
        problem.check_outputs(ours, what=f"{kernel} output")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE, ids=str)
def test_forward_without_bias(case: Conv2dCase, layout: str) -> None:
    problem = problems.conv2d(case, bias=False).in_layout(layout)
    problem.check_outputs(problem.outputs(CNNEXT))


@pytest.mark.parametrize("groups", (1, 2))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    ((3, 1, 10**5, 10**5), (2, 1, 2**30 - 1, 2**31 - 1), (2, 2**30 - 1, 2**31 - 1, 1)),
    ids=str,
)
def test_border_larger_than_memory(
    kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        torch.manual_seed(0)
        leaves = [
            torch.randn(1, 2, 2, 2),
            torch.randn(2, 2 // groups, kernel, kernel),
            torch.randn(2),
        ]
        for leaf in leaves:
            leaf.requires_grad_()
        output = library.conv2d(*leaves, stride, padding, dilation, groups)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    assert_same_sums(*results)


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("forward", EDGE))
def test_one_infinity_spreads_as_far_as_its_windows(kernel: str, case: Conv2dCase) -> None:
    for layout, value in itertools.product(layouts_of(kernel, case), (math.inf, math.nan)):
        problem = problem_with(value, case, layout, dtype_of(kernel))
        with only_kernel("conv2d", kernel):
            ours = problem.outputs(CNNEXT)
        problem.check_outputs(ours, what=f"{layout} {value} output")


def non_finite_like_the_definition(
    direction: str, kernel: str, case: Conv2dCase, place: int | None, spoil: int
) -> None:
    """What is Inf, -Inf or NaN is so in the plain loops of the reference kernel, too.

    `spoil` is the operand, or -1 for the gradient of the output, whose first and last elements are
    not finite: with zeros of the border they would make NaN where the definition has no product.
    """
    for layout in layouts_of(kernel, case):
        problem = problems.conv2d(case, dtype=dtype_of(kernel)).in_layout(layout)

        def spoiled(tensor: Tensor) -> Tensor:
            if tensor.numel() > 0:
                tensor[(0,) * tensor.dim()] = math.inf
                tensor[(-1,) * tensor.dim()] = math.nan
            return tensor

        if spoil < 0:
            problem = replace(problem, seed=lambda output: spoiled(seed_gradient(output)))
        else:
            spoiled(problem.operands[spoil])
        suffix = "" if direction == "forward" else f"_{direction}"
        plain = f"conv2d_reference{suffix}_{'f64' if 'f64' in kernel else 'f32'}"
        results = []
        for name in (kernel, plain):
            with only_kernel("conv2d", name):
                if place is None:
                    results += problem.outputs(CNNEXT)
                else:
                    results += problem.gradients(CNNEXT, place)
        ours, expected = (r.nan_to_num(nan=7, posinf=8, neginf=9) * ~r.isfinite() for r in results)
        assert torch.equal(ours, expected), f"{layout}: {(ours != expected).sum()} elements differ"


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("forward", EDGE))
def test_infinite_weights_meet_no_border(kernel: str, case: Conv2dCase) -> None:
    non_finite_like_the_definition("forward", kernel, case, None, WEIGHT)


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_input", EDGE))
def test_infinite_weights_meet_no_border_backward(kernel: str, case: Conv2dCase) -> None:
    non_finite_like_the_definition("bwd_input", kernel, case, INPUT, WEIGHT)


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_weight", EDGE))
def test_infinite_gradients_meet_no_border(kernel: str, case: Conv2dCase) -> None:
    non_finite_like_the_definition("bwd_weight", kernel, case, WEIGHT, -1)


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_input", SMALL, NETWORK))
def test_backward_input(kernel: str, case: Conv2dCase) -> None:
    check_backward(kernel, case, INPUT)


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_weight", SMALL, NETWORK))
def test_backward_weight(kernel: str, case: Conv2dCase) -> None:
    check_backward(kernel, case, WEIGHT)


def check_backward(kernel: str, case: Conv2dCase, place: int) -> None:
    for kind in INPUT_KINDS if case in SMALL else ("normal",):
        for layout in layouts_of(kernel, case):
            problem = problems.cached(problems.conv2d, case, kind, layout, dtype_of(kernel))
            with only_kernel("conv2d", kernel), use_threads(threads_for(case)):
                ours = problem.gradients(CNNEXT, place)
            problem.check_gradients(ours, place, what=f"{kind} {layout} gradient")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", NETWORKS, ids=str)
def test_backward_of_networks(case: Conv2dCase, layout: str) -> None:
    problem = problems.conv2d(case).in_layout(layout)
    for direction, place in (("bwd_input", INPUT), ("bwd_weight", WEIGHT)):
        results = results_by_kernel(
            "conv2d", direction, lambda place=place: problem.gradients(CNNEXT, place)
        )
        for kernel, ours in results:
            problem.check_gradients(ours, place, what=f"{kernel} gradient")


@pytest.mark.parametrize("case", EDGE, ids=str)
def test_backward_of_all_operands(case: Conv2dCase) -> None:
    problem = problems.cached(problems.conv2d, case, "normal", "nchw", torch.float32)
    problem.check_gradients(problem.gradients(CNNEXT))


@pytest.mark.parametrize("wanted", ((INPUT,), (WEIGHT,), (BIAS,), (INPUT, BIAS)), ids=str)
def test_backward_computes_what_is_wanted(wanted: tuple[int, ...]) -> None:
    problem = problems.conv2d(EDGE[0])
    problem.check_gradients(problem.gradients(CNNEXT, *wanted), *wanted)


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_input", EDGE))
def test_one_infinity_spreads_backward_as_far_as_its_windows(kernel: str, case: Conv2dCase) -> None:
    def seed(output: Tensor) -> Tensor:
        gradient = seed_gradient(output)
        if gradient.numel() > 0:
            gradient[-1, 0, -1, output.shape[3] // 2] = math.inf
        return gradient

    for layout in layouts_of(kernel, case):
        problem = problems.conv2d(case, dtype=dtype_of(kernel)).in_layout(layout)
        problem = replace(problem, seed=seed)
        with only_kernel("conv2d", kernel):
            ours = problem.gradients(CNNEXT, INPUT)
        problem.check_gradients(ours, INPUT, what=f"{layout} gradient")


@pytest.mark.parametrize(("kernel", "case"), conv2d_kernels("bwd_weight", EDGE))
def test_one_infinity_reaches_the_weights_that_see_it(kernel: str, case: Conv2dCase) -> None:
    for layout in layouts_of(kernel, case):
        problem = problem_with(math.inf, case, layout, dtype_of(kernel))
        with only_kernel("conv2d", kernel):
            ours = problem.gradients(CNNEXT, WEIGHT)
        problem.check_gradients(ours, WEIGHT, what=f"{layout} gradient")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE, ids=str)
def test_gradient_of_a_sum(case: Conv2dCase, layout: str) -> None:
    check_sum_gradient(problems.conv2d(case).in_layout(layout))


# ------------------------------------------------------------------- gradcheck, gradgradcheck

TINY = (
    Conv2dCase("plain", 1, 2, 4, 3, 2, 3, 2),
    Conv2dCase("all_options", 2, 4, 5, 6, 2, 2, 3, (2, 1), (1, 2), (1, 2), 2),
    Conv2dCase("pointwise", 2, 3, 2, 2, 2, 1, 1),
    Conv2dCase("depthwise", 1, 3, 4, 4, 3, 3, 3, padding=(1, 1), groups=3),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("case", TINY, ids=str)
def test_derivatives(case: Conv2dCase, bias: bool, layout: str) -> None:
    check_derivatives(problems.conv2d(case, bias=bias).in_layout(layout))


@pytest.mark.parametrize("padding", ("same", "valid"))
def test_derivatives_with_named_padding(padding: str, generator: torch.Generator) -> None:
    operands = (
        make_input("normal", (1, 2, 4, 3), generator),
        make_input("normal", (2, 2, 2, 3), generator),
    )
    check_derivatives(Problem(lambda library, v: (library.conv2d(*v, padding=padding),), operands))


# ------------------------------------------------------------------- determinism, shape fuzz


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", NETWORK, ids=str)
def test_same_bits_twice(case: Conv2dCase, layout: str) -> None:
    check_deterministic(problems.conv2d(case).in_layout(layout))


@st.composite
def conv2d_cases(draw: st.DrawFn) -> Conv2dCase:
    """Any small convolution with an output."""
    small, size = st.integers(1, 3), st.integers(1, 20)
    pairs = st.tuples(small, small)
    groups = draw(small)
    case = Conv2dCase(
        "fuzz",
        n=draw(small),
        c_in=groups * draw(st.integers(1, 18)),
        h_in=draw(size),
        w_in=draw(size),
        c_out=groups * draw(st.integers(1, 18)),
        k_h=draw(st.integers(1, 5)),
        k_w=draw(st.integers(1, 5)),
        stride=draw(pairs),
        padding=draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        dilation=draw(pairs),
        groups=groups,
    )
    assume(min(case.output_shape) > 0)
    return case


@given(case=conv2d_cases(), layout=st.sampled_from(list(LAYOUTS)), dtype=st.sampled_from(DTYPES))
def test_any_shape(case: Conv2dCase, layout: str, dtype: torch.dtype) -> None:
    check_everything(problems.conv2d(case, dtype=dtype).in_layout(layout).positive())

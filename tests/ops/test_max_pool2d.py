"""max_pool2d: values and indices equal to native's in every bit; gradients within the contract."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from cnnext.testing.cases import MaxPool2dCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from cnnext.testing.specs.max_pool2d import EDGE_POOLS, POOLS
from tests.ops import problems
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    NATIVE,
    Problem,
    check_derivatives,
    check_deterministic,
    check_sum_gradient,
    dtype_of,
    generator_for,
    kernel_cases,
    only_kernel,
    order_in_memory,
    use_threads,
)

LENET = POOLS[:2]
NETWORK = tuple(case for case in POOLS if case.name in ("vgg16_pool5", "resnet50_pool"))


def full_of(values: tuple[float, ...], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Drawn from few values, so that every window has ties among them."""
    choices = torch.randint(len(values), shape, generator=generator_for(values, shape))
    return torch.tensor(values, dtype=dtype)[choices]


#: Beside the input classes: what decides ties, and what wins over or loses to everything.
SPECIAL = {
    "zeros_of_both_signs": (0.0, -0.0),
    "few_values": (1.0, 2.0, 2.0, 3.0),
    "negative": (-1.0, -2.0, -3.0),
    "nan": (math.nan, 1.0, 2.0, math.inf),
    "all_nan": (math.nan,),
    "minus_infinity": (-math.inf, -math.inf, -math.inf, -1.0),
    "all_minus_infinity": (-math.inf,),
    "infinities": (math.inf, -math.inf, math.nan),
}


def inputs_of(case: MaxPool2dCase, layout: str, dtype: torch.dtype) -> dict[str, Tensor]:
    tensors = {
        kind: make_input(kind, case.input_shape, generator_for(case, kind), dtype)
        for kind in INPUT_KINDS
    }
    for name, values in SPECIAL.items():
        tensors[name] = full_of(values, case.input_shape, dtype)
    return {name: t.contiguous(memory_format=LAYOUTS[layout]) for name, t in tensors.items()}


def check_values_and_indices(image: Tensor, what: str, **kwargs: Any) -> None:
    values, indices = NATIVE.max_pool2d(image, **kwargs, return_indices=True)
    alone = CNNEXT.max_pool2d(image, **kwargs)
    ours, our_indices = CNNEXT.max_pool2d(image, **kwargs, return_indices=True)
    assert_bitwise_equal(alone, values, what=f"{what} values alone")
    assert_bitwise_equal(ours, values, what=f"{what} values")
    assert_bitwise_equal(our_indices, indices, what=f"{what} indices")
    for result in (alone, ours, our_indices):
        assert order_in_memory(result) == order_in_memory(values), what
    assert not our_indices.requires_grad


# ------------------------------------------------------------------------- forward vs native


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("max_pool2d", "forward", EDGE_POOLS))
def test_forward(kernel: str, case: MaxPool2dCase) -> None:
    for layout in LAYOUTS:
        for name, image in inputs_of(case, layout, dtype_of(kernel)).items():
            with only_kernel("max_pool2d", kernel):
                check_values_and_indices(image, f"{layout} {name}", **case.kwargs())


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("max_pool2d", "forward", LENET, NETWORK))
def test_forward_of_networks(kernel: str, case: MaxPool2dCase) -> None:
    for layout in LAYOUTS:
        problem = problems.cached(problems.max_pool2d, case, "post_relu", layout, dtype_of(kernel))
        with only_kernel("max_pool2d", kernel), use_threads(3):
            (ours,) = problem.outputs(CNNEXT)
        assert_bitwise_equal(ours, problem.native_outputs[0], what=layout)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_all_of_the_networks(case: MaxPool2dCase, kind: str, layout: str) -> None:
    problem = problems.max_pool2d(case, kind).in_layout(layout)
    assert_bitwise_equal(problem.outputs(CNNEXT)[0], problem.native_outputs[0])
    problem.check_gradients(problem.gradients(CNNEXT))


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases("max_pool2d", "bwd_input", (*EDGE_POOLS, *LENET), NETWORK)
)
def test_backward(kernel: str, case: MaxPool2dCase) -> None:
    for kind in INPUT_KINDS if case in EDGE_POOLS else ("post_relu",):
        for layout in LAYOUTS:
            problem = problems.cached(problems.max_pool2d, case, kind, layout, dtype_of(kernel))
            with only_kernel("max_pool2d", kernel), use_threads(3):
                ours = problem.gradients(CNNEXT)
            problem.check_gradients(ours, what=f"{kind} {layout} gradient")


@pytest.mark.parametrize("values", SPECIAL)
@pytest.mark.parametrize("case", EDGE_POOLS, ids=str)
def test_gradient_goes_where_native_sends_it(case: MaxPool2dCase, values: str) -> None:
    for layout in LAYOUTS:
        image = inputs_of(case, layout, torch.float32)[values]
        problem = Problem(problems.max_pool2d(case).apply, (image,))
        problem.check_gradients(problem.gradients(CNNEXT), what=f"{layout} gradient")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE_POOLS, ids=str)
def test_gradient_of_a_sum(case: MaxPool2dCase, layout: str) -> None:
    check_sum_gradient(problems.max_pool2d(case).in_layout(layout))


@pytest.mark.parametrize("case", EDGE_POOLS, ids=str)
def test_gradient_with_indices(case: MaxPool2dCase) -> None:
    problem = problems.max_pool2d(case)

    def with_indices(library: Any, values: Any) -> tuple[Tensor]:
        output, indices = library.max_pool2d(*values, **case.kwargs(), return_indices=True)
        assert output.requires_grad == values[0].requires_grad
        assert not indices.requires_grad
        return (output,)

    ours = Problem(with_indices, problem.operands).gradients(CNNEXT)
    for result, expected in zip(ours, problem.gradients(CNNEXT), strict=True):
        assert_bitwise_equal(result, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_indices_unpool(dtype: torch.dtype) -> None:
    """What the indices are for."""
    image = make_input("normal", (2, 3, 8, 6), generator_for("unpool"), dtype)
    pooled, indices = CNNEXT.max_pool2d(image, 2, return_indices=True)
    unpooled = torch.nn.functional.max_unpool2d(pooled, indices, 2)
    assert_bitwise_equal(unpooled, torch.where(unpooled != 0, image, torch.zeros_like(image)))
    assert_bitwise_equal(CNNEXT.max_pool2d(unpooled, 2).clamp(min=0), pooled.clamp(min=0))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "options",
    (
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": 17, "stride": 1, "padding": 8},
    ),
    ids=str,
)
def test_derivatives(options: dict[str, Any], layout: str) -> None:
    shape = (2, 2, 5, 7)
    generator = generator_for(shape)
    # All values are far apart, so that no difference quotient changes which is the largest.
    values = torch.randperm(math.prod(shape), generator=generator).double().view(shape)
    problem = Problem(lambda library, v: (library.max_pool2d(v[0], **options),), (values,))
    check_derivatives(problem.in_layout(layout))


# ------------------------------------------------------------------- determinism, shape fuzz


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", NETWORK, ids=str)
def test_same_bits_twice(case: MaxPool2dCase, layout: str) -> None:
    check_deterministic(problems.max_pool2d(case, "post_relu").in_layout(layout))


@st.composite
def pool_cases(draw: st.DrawFn) -> MaxPool2dCase:
    """Any small pooling that native accepts, whose windows all reach into the image."""
    size = st.integers(1, 20)
    kernel = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
    case = MaxPool2dCase(
        "fuzz",
        n=draw(st.integers(0, 3)),
        channels=draw(st.integers(1, 34)),
        h_in=draw(size),
        w_in=draw(size),
        kernel_size=kernel,
        stride=draw(pairs),
        padding=(draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))),
        dilation=draw(pairs),
        ceil_mode=draw(st.booleans()),
    )
    try:
        output = NATIVE.max_pool2d(torch.zeros(case.input_shape), **case.kwargs())
    except RuntimeError:
        output = torch.tensor(-math.inf)
    assume(bool(output.isfinite().all()))
    return case


@given(
    case=pool_cases(),
    layout=st.sampled_from(list(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
    values=st.sampled_from(list(SPECIAL)),
)
def test_any_shape(case: MaxPool2dCase, layout: str, dtype: torch.dtype, values: str) -> None:
    problem = problems.max_pool2d(case, dtype=dtype).in_layout(layout)
    image = problem.operands[0]
    check_values_and_indices(image, "normal", **case.kwargs())
    check_values_and_indices(full_of(SPECIAL[values], image.shape, dtype), values, **case.kwargs())
    problem.check_gradients(problem.gradients(CNNEXT))

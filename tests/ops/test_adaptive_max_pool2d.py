"""adaptive_max_pool2d: values and indices are native's to the bit; gradients keep the contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from cnnext.testing.specs.adaptive_avg_pool2d import EDGE_ADAPTIVE_POOLS
from cnnext.testing.specs.adaptive_max_pool2d import ADAPTIVE_MAX_POOLS
from tests.ops import problems
from tests.ops.bad_calls import check_operator_error
from tests.ops.graphs import (
    BACKENDS,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.pools import (
    SHAPES,
    SIZES,
    check_delegated,
    check_sizes_of_one,
    check_training_of_exported,
    check_unbatched_results,
    check_views,
    image_of,
    problem_of,
)
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
    seed_gradient,
    use_threads,
)
from tests.ops.test_max_pool2d import SPECIAL, full_of

OP = "adaptive_max_pool2d"
IMAGE = image_of((2, 4, 6, 6))


def check_values_and_indices(image: Tensor, what: str, size: Any) -> None:
    values, indices = NATIVE.adaptive_max_pool2d(image, size, return_indices=True)
    alone = CNNEXT.adaptive_max_pool2d(image, size)
    ours, our_indices = CNNEXT.adaptive_max_pool2d(image, size, return_indices=True)
    assert_bitwise_equal(alone, values, what=f"{what} values alone")
    assert_bitwise_equal(ours, values, what=f"{what} values")
    assert_bitwise_equal(our_indices, indices, what=f"{what} indices")
    for result in (alone, ours, our_indices):
        assert order_in_memory(result) == order_in_memory(values), what
    assert not our_indices.requires_grad


def input_of(case: AdaptivePool2dCase, kind: str, dtype: torch.dtype) -> Tensor:
    if kind in SPECIAL:
        return full_of(SPECIAL[kind], case.input_shape, dtype)
    return make_input(kind, case.input_shape, generator_for(case, kind), dtype)


# -------------------------------------------------------------------------- forward vs native


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases(OP, "forward", EDGE_ADAPTIVE_POOLS, ADAPTIVE_MAX_POOLS)
)
def test_forward(kernel: str, case: AdaptivePool2dCase) -> None:
    for kind in (*INPUT_KINDS, *SPECIAL):
        for layout in LAYOUTS:
            image = input_of(case, kind, dtype_of(kernel))
            image = image.contiguous(memory_format=LAYOUTS[layout])
            with only_kernel(OP, kernel), use_threads(3):
                check_values_and_indices(image, f"{kind} {layout}", case.output_size)


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases(OP, "bwd_input", EDGE_ADAPTIVE_POOLS, ADAPTIVE_MAX_POOLS)
)
def test_backward(kernel: str, case: AdaptivePool2dCase) -> None:
    for layout in LAYOUTS:
        problem = problems.cached(
            problems.adaptive_max_pool2d, case, "normal", layout, dtype_of(kernel)
        )
        with only_kernel(OP, kernel), use_threads(3):
            ours = problem.gradients(CNNEXT)
        problem.check_gradients(ours, what=f"{layout} gradient")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE_ADAPTIVE_POOLS, ids=str)
def test_gradient_of_a_sum(case: AdaptivePool2dCase, layout: str) -> None:
    check_sum_gradient(problems.adaptive_max_pool2d(case).in_layout(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ADAPTIVE_MAX_POOLS[1:], ids=str)
def test_same_bits_twice(case: AdaptivePool2dCase, layout: str) -> None:
    check_deterministic(problems.adaptive_max_pool2d(case).in_layout(layout))


@pytest.mark.parametrize("values", SPECIAL)
def test_gradient_goes_where_native_sends_it(values: str) -> None:
    for case in EDGE_ADAPTIVE_POOLS:
        image = full_of(SPECIAL[values], case.input_shape, torch.float32)
        for layout in LAYOUTS:
            problem = Problem(problems.adaptive_max_pool2d(case).apply, (image,)).in_layout(layout)
            problem.check_gradients(problem.gradients(CNNEXT), what=f"{case} {layout} gradient")


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", (1, (2, 3), (5, 7), (8, 4)), ids=str)
def test_derivatives(size: Any, layout: str) -> None:
    shape = (2, 2, 5, 7)
    # All values are far apart, so that no difference quotient changes which is the largest.
    values = torch.randperm(140, generator=generator_for(shape)).double().view(shape)
    check_derivatives(problem_of(OP, values, size).in_layout(layout))


# ---------------------------------------------------------------------------- opcheck, graphs

GRAPH_CASES = (
    AdaptivePool2dCase("uneven", 2, 3, 6, 8, (4, 3)),
    AdaptivePool2dCase("global", 2, 3, 5, 4, (1, 1)),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_opcheck(case: AdaptivePool2dCase, layout: str) -> None:
    (image,) = problems.adaptive_max_pool2d(case).in_layout(layout).operands
    for record in (True, False):
        check_op("adaptive_max_pool2d_forward", image, *case.output_size, record)
    check_op("adaptive_max_pool2d", image.detach().requires_grad_(), *case.output_size, True)
    output, indices = torch.ops.cnnext.adaptive_max_pool2d_forward(image, *case.output_size, True)
    gradient = seed_gradient(output)
    check_op("adaptive_max_pool2d_backward", gradient, indices, case.h_in, case.w_in)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile(case: AdaptivePool2dCase, layout: str, backend: str) -> None:
    check_compiled(OP, problems.adaptive_max_pool2d(case).in_layout(layout), backend)


@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile_with_dynamic_batch(case: AdaptivePool2dCase) -> None:
    check_dynamic_batch(OP, lambda batch: problems.adaptive_max_pool2d(case.with_batch(batch)))


def test_export() -> None:
    module = cnnext.AdaptiveMaxPool2d((3, None))
    check_exported(OP, module, lambda batch: (image_of((batch, 3, 9, 8)),))


def test_training_of_an_exported_program() -> None:
    check_training_of_exported(OP, 2)


# ---------------------------------------------------------------- layouts, strides, edge shapes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", (1, (3, 4)), ids=str)
def test_views(size: Any, dtype: torch.dtype) -> None:
    check_views(OP, (2, 9, 8, 10), dtype, size)


def test_sizes_of_one() -> None:
    check_sizes_of_one(OP, 1)
    check_sizes_of_one(OP, (2, 3))


def test_unbatched_results() -> None:
    check_unbatched_results(OP, 2)


@pytest.mark.parametrize("wanted", (1, None, "yes"), ids=repr)
def test_return_indices_is_any_truth(wanted: Any) -> None:
    check_delegated(OP, lambda pool: pool(IMAGE, 2, return_indices=wanted), "")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("position", (-1, 36, 2**40))
def test_backward_ignores_positions_outside(position: int, layout: str) -> None:
    indices = torch.full((2, 4, 3, 3), position).contiguous(memory_format=LAYOUTS[layout])
    result = torch.ops.cnnext.adaptive_max_pool2d_backward(torch.ones(2, 4, 3, 3), indices, 6, 6)
    assert torch.equal(result, torch.zeros(2, 4, 6, 6))


# ---------------------------------------------------------------------- forms of sizes, errors


@pytest.mark.parametrize("gradient", (False, True), ids=("no_grad", "grad"))
@pytest.mark.parametrize("size", SIZES)
def test_forms_of_size(size: str, gradient: bool) -> None:
    image = torch.ones(2, 4, 6, 6, requires_grad=gradient)
    check_delegated(OP, lambda pool: pool(image, SIZES[size]), f"output_size={SIZES[size]!r}")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape: tuple[int, ...]) -> None:
    image = torch.ones(shape)
    check_delegated(OP, lambda pool: pool(image, 2), f"input.shape={list(shape)}")


INDICES = torch.zeros(2, 4, 3, 3, dtype=torch.int64)
OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_3d": ("adaptive_max_pool2d_forward", (IMAGE[0], 3, 3, True), "input"),
    "input_half": ("adaptive_max_pool2d_forward", (IMAGE.half(), 3, 3, True), "float32"),
    "output_zero": ("adaptive_max_pool2d_forward", (IMAGE, 0, 3, False), "output"),
    "output_huge": ("adaptive_max_pool2d", (IMAGE, 2**62, 1, True), "too large"),
    "gradient_3d": ("adaptive_max_pool2d_backward", (IMAGE[0], INDICES, 6, 6), "grad_output"),
    "gradient_size": ("adaptive_max_pool2d_backward", (IMAGE, INDICES, 6, 6), "grad_output"),
    "indices_dtype": ("adaptive_max_pool2d_backward", (IMAGE, IMAGE, 6, 6), "indices"),
    "input_negative": (
        "adaptive_max_pool2d_backward",
        (INDICES.float(), INDICES, -6, 6),
        "input",
    ),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)

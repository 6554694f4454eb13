"""adaptive_avg_pool2d: values and gradients within the contract, native's layouts and errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import cnnext
from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.errors import INPUT_KINDS
from cnnext.testing.specs.adaptive_avg_pool2d import ADAPTIVE_AVG_POOLS, EDGE_ADAPTIVE_POOLS
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
    check_infinities_stay_in_their_windows,
    check_same_as_native,
    check_sizes_of_one,
    check_unbatched_results,
    check_views,
    image_of,
    problem_of,
)
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    check_derivatives,
    check_deterministic,
    check_sum_gradient,
    dtype_of,
    kernel_cases,
    only_kernel,
    seed_gradient,
    use_threads,
)

OP = "adaptive_avg_pool2d"
IMAGE = image_of((2, 4, 6, 6))

# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases(OP, "forward", EDGE_ADAPTIVE_POOLS, ADAPTIVE_AVG_POOLS)
)
def test_forward(kernel: str, case: AdaptivePool2dCase) -> None:
    for kind in INPUT_KINDS:
        for layout in LAYOUTS:
            problem = problems.cached(
                problems.adaptive_avg_pool2d, case, kind, layout, dtype_of(kernel)
            )
            with only_kernel(OP, kernel), use_threads(3):
                ours = problem.outputs(CNNEXT)
            problem.check_outputs(ours, what=f"{kind} {layout} output")


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases(OP, "bwd_input", EDGE_ADAPTIVE_POOLS, ADAPTIVE_AVG_POOLS)
)
def test_backward(kernel: str, case: AdaptivePool2dCase) -> None:
    for layout in LAYOUTS:
        problem = problems.cached(
            problems.adaptive_avg_pool2d, case, "normal", layout, dtype_of(kernel)
        )
        with only_kernel(OP, kernel), use_threads(3):
            ours = problem.gradients(CNNEXT)
        problem.check_gradients(ours, what=f"{layout} gradient")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE_ADAPTIVE_POOLS, ids=str)
def test_gradient_of_a_sum(case: AdaptivePool2dCase, layout: str) -> None:
    check_sum_gradient(problems.adaptive_avg_pool2d(case).in_layout(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ADAPTIVE_AVG_POOLS[1:], ids=str)
def test_same_bits_twice(case: AdaptivePool2dCase, layout: str) -> None:
    check_deterministic(problems.adaptive_avg_pool2d(case).in_layout(layout))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", (1, (2, 3), (5, 7), (8, 4)), ids=str)
def test_derivatives(size: Any, layout: str) -> None:
    image = image_of((2, 2, 5, 7), torch.float64)
    check_derivatives(problem_of(OP, image, size).in_layout(layout))


# ---------------------------------------------------------------------------- opcheck, graphs

GRAPH_CASES = (
    AdaptivePool2dCase("uneven", 2, 3, 6, 8, (4, 3)),
    AdaptivePool2dCase("global", 2, 3, 5, 4, (1, 1)),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_opcheck(case: AdaptivePool2dCase, layout: str) -> None:
    (image,) = problems.adaptive_avg_pool2d(case).in_layout(layout).operands
    check_op("adaptive_avg_pool2d_forward", image, *case.output_size)
    check_op("adaptive_avg_pool2d", image.detach().requires_grad_(), *case.output_size)
    gradient = seed_gradient(CNNEXT.adaptive_avg_pool2d(image, case.output_size))
    channels_last = layout == "channels_last"
    check_op("adaptive_avg_pool2d_backward", gradient, case.h_in, case.w_in, channels_last)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile(case: AdaptivePool2dCase, layout: str, backend: str) -> None:
    check_compiled(OP, problems.adaptive_avg_pool2d(case).in_layout(layout), backend)


@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile_with_dynamic_batch(case: AdaptivePool2dCase) -> None:
    check_dynamic_batch(OP, lambda batch: problems.adaptive_avg_pool2d(case.with_batch(batch)))


def test_export() -> None:
    module = cnnext.AdaptiveAvgPool2d((3, None))
    check_exported(OP, module, lambda batch: (image_of((batch, 3, 9, 8)),))


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


def test_infinities_stay_in_their_windows() -> None:
    check_infinities_stay_in_their_windows(OP, (3, 8))
    check_infinities_stay_in_their_windows(OP, (4, 3))


@pytest.mark.parametrize("size", (1, 2, 3), ids=str)
def test_whole_numbers_are_exact(size: int) -> None:
    """Windows of 6x6, 3x3 and 2x2."""
    image = 36.0 * torch.arange(2 * 5 * 36).view(2, 5, 6, 6)
    check_same_as_native(OP, image, size)


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


OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_3d": ("adaptive_avg_pool2d_forward", (IMAGE[0], 3, 3), "input"),
    "input_half": ("adaptive_avg_pool2d_forward", (IMAGE.half(), 3, 3), "float32"),
    "output_zero": ("adaptive_avg_pool2d_forward", (IMAGE, 0, 3), "output"),
    "output_negative": ("adaptive_avg_pool2d", (IMAGE, 3, -3), "output"),
    "output_huge": ("adaptive_avg_pool2d", (IMAGE, 2**62, 1), "too large"),
    "gradient_3d": ("adaptive_avg_pool2d_backward", (IMAGE[0], 6, 6, False), "grad_output"),
    "input_zero": ("adaptive_avg_pool2d_backward", (IMAGE, 0, 6, False), "input"),
    "input_huge": ("adaptive_avg_pool2d_backward", (IMAGE, 2**62, 6, True), "too large"),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)

"""avg_pool2d: values and gradients within the contract, native's layouts, and its errors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch._prims_common import suggest_memory_format

import cnnext
from cnnext.ops.avg_pool2d import AVG_POOL2D
from cnnext.ops.common.pooling import prefers_channels_last
from cnnext.testing.cases import AVG_POOLS, EDGE_AVG_POOLS, AvgPool2dCase
from cnnext.testing.errors import INPUT_KINDS
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

OP = "avg_pool2d"
IMAGE = image_of((2, 4, 6, 6))

# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(("kernel", "case"), kernel_cases(OP, "forward", EDGE_AVG_POOLS, AVG_POOLS))
def test_forward(kernel: str, case: AvgPool2dCase) -> None:
    for kind in INPUT_KINDS:
        for layout in LAYOUTS:
            problem = problems.cached(problems.avg_pool2d, case, kind, layout, dtype_of(kernel))
            with only_kernel(OP, kernel), use_threads(3):
                ours = problem.outputs(CNNEXT)
            problem.check_outputs(ours, what=f"{kind} {layout} output")


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases(OP, "bwd_input", EDGE_AVG_POOLS, AVG_POOLS)
)
def test_backward(kernel: str, case: AvgPool2dCase) -> None:
    for layout in LAYOUTS:
        problem = problems.cached(problems.avg_pool2d, case, "normal", layout, dtype_of(kernel))
        with only_kernel(OP, kernel), use_threads(3):
            ours = problem.gradients(CNNEXT)
        problem.check_gradients(ours, what=f"{layout} gradient")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", EDGE_AVG_POOLS, ids=str)
def test_gradient_of_a_sum(case: AvgPool2dCase, layout: str) -> None:
    check_sum_gradient(problems.avg_pool2d(case).in_layout(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", AVG_POOLS[1:], ids=str)
def test_same_bits_twice(case: AvgPool2dCase, layout: str) -> None:
    check_deterministic(problems.avg_pool2d(case).in_layout(layout))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "options",
    (
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0), "ceil_mode": True},
        {"kernel_size": 2, "divisor_override": -3},
    ),
    ids=str,
)
def test_derivatives(options: dict[str, Any], layout: str) -> None:
    image = image_of((2, 2, 5, 7), torch.float64)
    check_derivatives(problem_of(OP, image, **options).in_layout(layout))


# ---------------------------------------------------------------------------- opcheck, graphs

GRAPH_CASES = (
    AvgPool2dCase("plain", 2, 3, 6, 8, (2, 2), (2, 2)),
    AvgPool2dCase("all_options", 2, 3, 11, 9, (3, 2), (2, 1), (1, 1), True, False, 7),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_opcheck(case: AvgPool2dCase, layout: str) -> None:
    (image,) = problems.avg_pool2d(case).in_layout(layout).operands
    _, *arguments = AVG_POOL2D.check(image, **case.kwargs())
    check_op("avg_pool2d_forward", image, *arguments)
    check_op("avg_pool2d", image.detach().requires_grad_(), *arguments)
    gradient = seed_gradient(CNNEXT.avg_pool2d(image, **case.kwargs()))
    channels_last = layout == "channels_last"
    check_op("avg_pool2d_backward", gradient, case.h_in, case.w_in, channels_last, *arguments[2:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile(case: AvgPool2dCase, layout: str, backend: str) -> None:
    check_compiled(OP, problems.avg_pool2d(case).in_layout(layout), backend)


@pytest.mark.parametrize("case", GRAPH_CASES, ids=str)
def test_compile_with_dynamic_batch(case: AvgPool2dCase) -> None:
    check_dynamic_batch(OP, lambda batch: problems.avg_pool2d(case.with_batch(batch)))


def test_export() -> None:
    module = cnnext.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    check_exported(OP, module, lambda batch: (image_of((batch, 3, 9, 8)),))


# ---------------------------------------------------------------- layouts, strides, edge shapes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("arguments", ((2,), ((3, 2), (2, 1), (1, 0), True, False, 5)), ids=str)
def test_views(arguments: tuple[Any, ...], dtype: torch.dtype) -> None:
    check_views(OP, (2, 9, 8, 10), dtype, *arguments)


def test_sizes_of_one() -> None:
    check_sizes_of_one(OP, 1)
    check_sizes_of_one(OP, 2, 1, 1)


def test_unbatched_results() -> None:
    check_unbatched_results(OP, 1)


def test_infinities_stay_in_their_windows() -> None:
    check_infinities_stay_in_their_windows(OP, (2, 4))
    check_infinities_stay_in_their_windows(OP, 3, 1, 1)


@pytest.mark.parametrize("stride", (None, [], (), (2,), [2, 1], torch.Size((2, 2))), ids=repr)
def test_forms_of_stride(stride: Any) -> None:
    check_same_as_native(OP, torch.ones(1, 2, 6, 6), 2, stride)


@pytest.mark.parametrize("two", (np.int64(2), np.uint8(2), torch.tensor(2)), ids=repr)
@pytest.mark.parametrize("name", ("kernel_size", "stride", "padding", "divisor_override"))
def test_forms_of_an_integer(name: str, two: Any) -> None:
    options = {"kernel_size": 4, name: two}
    check_same_as_native(OP, torch.ones(1, 2, 6, 6), **options)


# ------------------------------------------------------------------------------------- errors

BAD: dict[str, dict[str, Any]] = {
    "kernel_zero": {"kernel_size": 0},
    "kernel_negative": {"kernel_size": (2, -1)},
    "kernel_float": {"kernel_size": 2.0},
    "kernel_bool": {"kernel_size": True},
    "kernel_none": {"kernel_size": None},
    "kernel_text": {"kernel_size": "2"},
    "kernel_of_three": {"kernel_size": (2, 2, 2)},
    "kernel_of_none": {"kernel_size": ()},
    "kernel_above_image": {"kernel_size": 7},
    "kernel_above_32_bits": {"kernel_size": 2**31},
    "stride_zero": {"stride": 0},
    "stride_negative": {"stride": -1},
    "stride_of_three": {"stride": (1, 1, 1)},
    "stride_above_32_bits": {"stride": 2**31},
    "padding_above_half": {"padding": 2},
    "padding_negative": {"padding": (0, -1)},
    "padding_none": {"padding": None},
    "ceil_mode_int": {"ceil_mode": 1},
    "count_include_pad_none": {"count_include_pad": None},
    "divisor_zero": {"divisor_override": 0},
    "divisor_float": {"divisor_override": 2.0},
    "divisor_bool": {"divisor_override": True},
    "divisor_above_64_bits": {"divisor_override": 2**63},
    "divisor_lowest": {"divisor_override": -(2**63)},
}


@pytest.mark.parametrize("gradient", (False, True), ids=("no_grad", "grad"))
@pytest.mark.parametrize("bad", BAD)
def test_bad_options(bad: str, gradient: bool) -> None:
    (name, value), *_ = BAD[bad].items()
    image = IMAGE.clone().requires_grad_(gradient)
    call = {"kernel_size": 3, **BAD[bad]}
    check_delegated(OP, lambda pool: pool(image, **call), f"{name}={value!r}")


@pytest.mark.parametrize(
    "shape",
    ((), (6,), (6, 6), (1, 2, 4, 6, 6), (2, 0, 6, 6), (2, 4, 0, 6), (0, 6, 6), (0, 4, 6, 6)),
    ids=str,
)
def test_other_shapes(shape: tuple[int, ...]) -> None:
    check_delegated(OP, lambda pool: pool(torch.ones(shape), 2), f"input.shape={list(shape)}")


GEOMETRY = (2, 2, 2, 2, 0, 0, True, 0)
OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_3d": ("avg_pool2d_forward", (IMAGE[0], 3, 3, *GEOMETRY), "input"),
    "input_half": ("avg_pool2d_forward", (IMAGE.half(), 3, 3, *GEOMETRY), "float32"),
    "output_too_large": ("avg_pool2d_forward", (IMAGE, 4, 3, *GEOMETRY), "output (4 x 3)"),
    "output_zero": ("avg_pool2d_forward", (IMAGE, 0, 3, *GEOMETRY), "output"),
    "kernel": ("avg_pool2d", (IMAGE, 3, 3, 0, *GEOMETRY[1:]), "kernel_size"),
    "stride": ("avg_pool2d", (IMAGE, 3, 3, 2, 2, 0, 2, 0, 0, True, 0), "stride"),
    "padding": ("avg_pool2d", (IMAGE, 3, 3, 2, 2, 2, 2, 2, 0, True, 0), "padding"),
    "stride_huge": ("avg_pool2d", (IMAGE, 1, 1, 2, 2, 2**62, 2, 0, 0, True, 0), "stride"),
    "gradient_3d": ("avg_pool2d_backward", (IMAGE[0], 12, 12, False, *GEOMETRY), "grad_output"),
    "input_too_small": ("avg_pool2d_backward", (IMAGE, 3, 12, False, *GEOMETRY), "output"),
    "input_negative": ("avg_pool2d_backward", (IMAGE, -12, 12, False, *GEOMETRY), "input"),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)


def test_layout_that_is_preferred(seed: int) -> None:
    """As torch tells it, of sizes of one and zero and of strides in any order too."""
    rng = random.Random(seed)
    for _ in range(2000):
        size = [rng.choice((1, 1, 2, 3)) for _ in range(rng.choice((3, 4, 4, 4)))]
        input = torch.empty_strided(size, [rng.choice((0, 1, 1, 2, 3, 6, 12)) for _ in size])
        expected = suggest_memory_format(input) is torch.channels_last
        assert prefers_channels_last(input) == expected, (size, input.stride())
    assert not prefers_channels_last(torch.empty(2, 0, 3, 3))

"""conv2d in graphs: opcheck, torch.compile, torch.export."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.errors import make_input
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
    DTYPES,
    LAYOUTS,
    LAYOUTS_4D,
    VIEWS_4D,
    Problem,
    generator_for,
    seed_gradient,
)

CASES = (
    Conv2dCase("plain", 2, 3, 6, 7, 4, 3, 3, padding=(1, 1)),
    Conv2dCase("all_options", 2, 4, 7, 9, 6, 2, 3, (2, 1), (1, 2), (1, 2), 2),
    Conv2dCase("pointwise", 3, 5, 4, 4, 7, 1, 1),
    Conv2dCase("depthwise", 2, 6, 7, 5, 6, 3, 3, padding=(1, 1), groups=6),
)

#: Sizes of one, whose strides mean nothing, and of zero.
CORNERS = (
    Conv2dCase("one_channel", 2, 1, 5, 5, 1, 3, 3),
    Conv2dCase("one_pixel", 2, 3, 1, 1, 4, 1, 1),
    Conv2dCase("one_output_pixel", 2, 3, 3, 3, 4, 3, 3),
    Conv2dCase("one_image", 1, 3, 5, 4, 2, 3, 2),
    Conv2dCase("empty_batch", 0, 3, 6, 7, 4, 3, 3),
)

# ------------------------------------------------------------------------------------ opcheck


def check_all_ops(case: Conv2dCase, problem: Problem, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    image, weight, bias = problem.operands
    geometry = (*case.stride, *case.padding, *case.dilation, case.groups)
    check_op("conv2d_forward", image, weight, bias, *geometry, checks=checks)
    gradient = seed_gradient(torch.ops.cnnext.conv2d_forward(image, weight, bias, *geometry))
    size = (case.h_in, case.w_in)
    check_op("conv2d_backward_input", gradient, weight, *size, *geometry, checks=checks)
    check_op("conv2d_backward_weight", gradient, image, weight, *geometry, checks=checks)
    leaves = [None if t is None else t.detach().requires_grad_() for t in (image, weight, bias)]
    check_op("conv2d", *leaves, *geometry, checks=checks)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_opcheck(case: Conv2dCase, layout: str) -> None:
    check_all_ops(case, problems.conv2d(case).in_layout(layout))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", (*CASES, *CORNERS), ids=str)
def test_strides_of_fake_tensors(case: Conv2dCase, dtype: torch.dtype) -> None:
    problem = problems.conv2d(case, dtype=dtype)
    image, weight, bias = problem.operands
    # opcheck cannot copy an empty view with gaps.
    views = VIEWS_4D if case.n > 0 else LAYOUTS_4D
    for view, weight_view in itertools.product(views.values(), LAYOUTS_4D.values()):
        operands = (view(image), weight_view(weight), bias)
        check_all_ops(case, replace(problem, operands=operands), FAKE_CHECK)


@pytest.mark.parametrize("wanted", ((0,), (1,), (2,)), ids=("input", "weight", "bias"))
def test_opcheck_of_one_gradient(wanted: tuple[int, ...]) -> None:
    operands = problems.conv2d(CASES[0]).operands
    leaves = [t.requires_grad_(i in wanted) for i, t in enumerate(operands) if t is not None]
    check_op("conv2d", *leaves, 1, 1, 1, 1, 1, 1, 1)


# ---------------------------------------------------------------------------- compile, export


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compile(case: Conv2dCase, layout: str, backend: str) -> None:
    check_compiled("conv2d", problems.conv2d(case).in_layout(layout), backend)


@pytest.mark.parametrize("bias", BIAS_BY_INDUCTOR)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compile_by_inductor(layout: str, bias: bool) -> None:
    problem = problems.conv2d(CASES[1], bias=bias).in_layout(layout)
    check_compiled("conv2d", problem, "inductor")


@pytest.mark.parametrize("padding", ("same", "valid"))
def test_compile_with_named_padding(padding: str, generator: torch.Generator) -> None:
    operands = (
        make_input("normal", (2, 3, 6, 5), generator),
        make_input("normal", (4, 3, 2, 3), generator),
    )
    problem = Problem(lambda library, v: (library.conv2d(*v, padding=padding),), operands)
    check_compiled("conv2d", problem, "aot_eager")


def test_compile_unbatched() -> None:
    image, *parameters = problems.conv2d(CASES[0]).operands
    problem = Problem(lambda library, v: (library.conv2d(*v, padding=1),), (image[0], *parameters))
    check_compiled("conv2d", problem, "aot_eager")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compile_with_dynamic_batch(case: Conv2dCase) -> None:
    check_dynamic_batch("conv2d", lambda batch: problems.conv2d(case.with_batch(batch)))


@pytest.mark.parametrize(
    "options", ({"padding": 1}, {"padding": "same", "padding_mode": "reflect"})
)
def test_export(options: dict[str, Any]) -> None:
    def inputs(batch: int) -> tuple[Tensor]:
        return (make_input("normal", (batch, 3, 6, 7), generator_for(batch)),)

    check_exported("conv2d", cnnext.Conv2d(3, 4, 3, **options), inputs)

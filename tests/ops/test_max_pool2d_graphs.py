"""max_pool2d in graphs: opcheck, torch.compile, torch.export."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.ops.common.pooling import pooled_size, window_geometry
from cnnext.testing.cases import MaxPool2dCase
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops import problems
from tests.ops.graphs import (
    ALL_CHECKS,
    BACKENDS,
    FAKE_CHECK,
    Compiled,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
    ops_in,
)
from tests.ops.pools import check_training_of_exported
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    LAYOUTS_4D,
    VIEWS_4D,
    Problem,
    generator_for,
    seed_gradient,
)

CASES = (
    MaxPool2dCase("plain", 2, 3, 6, 8, (2, 2), (2, 2)),
    MaxPool2dCase("all_options", 2, 3, 11, 9, (3, 2), (2, 1), (1, 1), (1, 2), True),
    MaxPool2dCase("window_above_256", 1, 2, 18, 18, (17, 17), (2, 2), (8, 8)),
)

CORNERS = (
    MaxPool2dCase("one_channel", 2, 1, 5, 5, (2, 2), (2, 2)),
    MaxPool2dCase("one_output_pixel", 2, 3, 4, 4, (4, 4), (4, 4)),
    MaxPool2dCase("one_pixel", 2, 3, 1, 1, (1, 1), (1, 1)),
    MaxPool2dCase("window_of_256", 1, 2, 16, 18, (16, 16), (1, 1)),
    MaxPool2dCase("one_image", 1, 3, 5, 6, (2, 2), (1, 1)),
    MaxPool2dCase("empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)


# ------------------------------------------------------------------------------------ opcheck


def check_all_ops(case: MaxPool2dCase, image: Tensor, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    geometry = window_geometry(case.kernel_size, case.stride, case.padding, case.dilation)
    size_out = pooled_size(*image.shape[-2:], geometry, case.ceil_mode)
    for record in (True, False):
        check_op("max_pool2d_forward", image, *size_out, *geometry, record, checks=checks)
        leaf = image.detach().requires_grad_()
        check_op("max_pool2d", leaf, *size_out, *geometry, True, checks=checks)
    output, where = torch.ops.cnnext.max_pool2d_forward(image, *size_out, *geometry, True)
    size_in = (case.h_in, case.w_in)
    gradient = seed_gradient(output)
    check_op("max_pool2d_backward", gradient, where, *size_in, *geometry, checks=checks)
    if where.dtype == torch.uint8:
        check_op("max_pool2d_indices", where, *size_in, *geometry, checks=checks)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_opcheck(case: MaxPool2dCase, layout: str) -> None:
    (image,) = problems.max_pool2d(case).in_layout(layout).operands
    check_all_ops(case, image)


@pytest.mark.parametrize("case", (*CASES, *CORNERS), ids=str)
def test_strides_of_fake_tensors(case: MaxPool2dCase) -> None:
    (image,) = problems.max_pool2d(case).operands
    # opcheck cannot copy an empty view with gaps.
    views = VIEWS_4D if case.n > 0 else LAYOUTS_4D
    for view in views.values():
        check_all_ops(case, view(image), FAKE_CHECK)


# ---------------------------------------------------------------------------- compile, export


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compile(case: MaxPool2dCase, layout: str, backend: str) -> None:
    check_compiled("max_pool2d", problems.max_pool2d(case).in_layout(layout), backend)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_compile_by_inductor(layout: str) -> None:
    check_compiled("max_pool2d", problems.max_pool2d(CASES[1]).in_layout(layout), "inductor")


@pytest.mark.parametrize("gradient", (True, False), ids=("grad", "no_grad"))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compile_with_indices(case: MaxPool2dCase, gradient: bool) -> None:
    library = Compiled("aot_eager")
    (image,) = problems.max_pool2d(case).leaves(*((0,) if gradient else ()))
    ours = library.max_pool2d(image, **case.kwargs(), return_indices=True)
    native = CNNEXT.max_pool2d(image, **case.kwargs(), return_indices=True)
    for result, expected in zip(ours, native, strict=True):
        assert_bitwise_equal(result, expected)
        assert result.requires_grad == expected.requires_grad
    assert "max_pool2d" in ops_in(library.graphs[0])


def test_compile_unbatched() -> None:
    (image,) = problems.max_pool2d(CASES[0]).operands
    problem = Problem(lambda library, v: (library.max_pool2d(v[0], 2),), (image[0],))
    check_compiled("max_pool2d", problem, "aot_eager")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compile_with_dynamic_batch(case: MaxPool2dCase) -> None:
    check_dynamic_batch("max_pool2d", lambda batch: problems.max_pool2d(case.with_batch(batch)))


@pytest.mark.parametrize(
    "options",
    ({}, {"stride": 1, "padding": 1}, {"ceil_mode": True, "return_indices": True}),
    ids=str,
)
def test_export(options: dict[str, Any]) -> None:
    def inputs(batch: int) -> tuple[Tensor]:
        return (make_input("normal", (batch, 3, 9, 8), generator_for(batch)),)

    check_exported("max_pool2d", cnnext.MaxPool2d(2, **options), inputs)


def test_training_of_an_exported_program() -> None:
    check_training_of_exported("max_pool2d", 2)

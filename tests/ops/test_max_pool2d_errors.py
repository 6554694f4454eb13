"""max_pool2d: bad arguments raise what torch.nn.functional raises, in words that name them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.ops.bad_calls import check_error, check_operator_error

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject

IMAGE = torch.ones(2, 4, 6, 6)

#: One argument at a time is made invalid by tests/upstream_suites/test_adversarial_inputs.py.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "padding_above_half_dilated": ({"padding": 2, "dilation": 2}, "padding=2, dilation=2"),
    "unknown_option": ({"count_include_pad": True}, "count_include_pad"),
    "input_2d": ({"input": IMAGE[0, 0]}, ""),
    "unbatched_without_channels": ({"input": IMAGE[0, :0]}, ""),
}


@pytest.mark.parametrize("indices", (False, True), ids=("values", "indices"))
@pytest.mark.parametrize("bad", BAD)
def test_bad_arguments(bad: str, indices: bool) -> None:
    changes, mentioned = BAD[bad]
    call = {"input": IMAGE, "kernel_size": 3, "return_indices": indices, **changes}
    check_error("max_pool2d", call, mentioned)


def test_arguments_are_required() -> None:
    check_error("max_pool2d", {}, "input")
    check_error("max_pool2d", {"input": IMAGE}, "kernel_size")


# ------------------------------------------------------------------------- the bare operators

GEOMETRY = (2, 2, 2, 2, 0, 0, 1, 1)
GRADIENT = torch.ones(2, 4, 3, 3)
WHERE = torch.zeros(2, 4, 3, 3, dtype=torch.uint8)

OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_3d": ("max_pool2d_forward", (IMAGE[0], 3, 3, *GEOMETRY, True), "input"),
    "input_half": ("max_pool2d_forward", (IMAGE.half(), 3, 3, *GEOMETRY, True), "float32"),
    "output_too_large": ("max_pool2d_forward", (IMAGE, 4, 3, *GEOMETRY, True), "output (4 x 3)"),
    "output_zero": ("max_pool2d_forward", (IMAGE, 0, 3, *GEOMETRY, True), "output"),
    "kernel": ("max_pool2d", (IMAGE, 3, 3, 0, *GEOMETRY[1:], True), "kernel_size"),
    "stride": ("max_pool2d", (IMAGE, 3, 3, 2, 2, 0, 2, 0, 0, 1, 1, True), "stride"),
    "padding": ("max_pool2d", (IMAGE, 3, 3, 2, 2, 2, 2, 2, 0, 1, 1, True), "padding"),
    "dilation": ("max_pool2d", (IMAGE, 3, 3, 2, 2, 2, 2, 0, 0, 0, 1, True), "dilation"),
    "gradient_size": ("max_pool2d_backward", (GRADIENT[..., :2], WHERE, 6, 6, *GEOMETRY), "grad_"),
    "gradient_3d": ("max_pool2d_backward", (GRADIENT[0], WHERE, 6, 6, *GEOMETRY), "grad_output"),
    "where_dtype": ("max_pool2d_backward", (GRADIENT, GRADIENT, 6, 6, *GEOMETRY), "where"),
    "where_3d": ("max_pool2d_backward", (GRADIENT, WHERE[0], 6, 6, *GEOMETRY), "where"),
    "input_too_small": ("max_pool2d_backward", (GRADIENT, WHERE, 3, 6, *GEOMETRY), "output"),
    "indices_3d": ("max_pool2d_indices", (WHERE[0], 6, 6, *GEOMETRY), "where"),
    "indices_dtype": ("max_pool2d_indices", (GRADIENT, 6, 6, *GEOMETRY), "where"),
    "indices_size": ("max_pool2d_indices", (WHERE, 3, 6, *GEOMETRY), "output"),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)

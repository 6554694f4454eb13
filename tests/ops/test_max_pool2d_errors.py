"""max_pool2d: bad arguments raise what torch.nn.functional raises, in words that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.ops.bad_calls import check_error, check_operator_error

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject

IMAGE = torch.ones(2, 4, 6, 6)

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "kernel_float": ({"kernel_size": 2.0}, "kernel_size=2.0"),
    "kernel_bool": ({"kernel_size": True}, "kernel_size=True"),
    "kernel_none": ({"kernel_size": None}, "kernel_size=None"),
    "kernel_vector": ({"kernel_size": torch.tensor([2, 2])}, "kernel_size"),
    "kernel_empty": ({"kernel_size": []}, "kernel_size="),
    "kernel_three": ({"kernel_size": (1, 1, 1)}, "kernel_size=(1, 1, 1)"),
    "kernel_zero": ({"kernel_size": 0}, "kernel_size=0"),
    "kernel_zero_once": ({"kernel_size": (2, 0)}, "kernel_size=(2, 0)"),
    "kernel_negative": ({"kernel_size": -1}, "kernel_size=-1"),
    "kernel_too_large": ({"kernel_size": 7}, "kernel_size=7"),
    "stride_float": ({"stride": 1.0}, "stride=1.0"),
    "stride_bool": ({"stride": False}, "stride=False"),
    "stride_zero": ({"stride": (0, 1)}, "stride=(0, 1)"),
    "stride_negative": ({"stride": -1}, "stride=-1"),
    "stride_three": ({"stride": (1, 1, 1)}, "stride=(1, 1, 1)"),
    "padding_above_half": ({"padding": 2}, "padding=2"),
    "padding_above_half_dilated": ({"padding": 2, "dilation": 2}, "padding=2, dilation=2"),
    "padding_negative": ({"padding": (-1, 0)}, "padding=(-1, 0)"),
    "padding_float": ({"padding": 0.5}, "padding=0.5"),
    "padding_word": ({"padding": "same"}, "padding='same'"),
    "padding_none": ({"padding": None}, "padding=None"),
    "padding_empty": ({"padding": []}, "padding="),
    "dilation_zero": ({"dilation": (1, 0)}, "dilation=(1, 0)"),
    "dilation_float": ({"dilation": 1.5}, "dilation=1.5"),
    "dilation_empty": ({"dilation": []}, "dilation="),
    "dilation_too_large": ({"dilation": 6}, "dilation=6"),
    "ceil_mode_number": ({"ceil_mode": 1}, "ceil_mode"),
    "ceil_mode_none": ({"ceil_mode": None}, "ceil_mode"),
    "ceil_mode_numpy": ({"ceil_mode": np.bool_(True)}, "ceil_mode"),
    "unknown_option": ({"count_include_pad": True}, "count_include_pad"),
}

INPUTS: dict[str, tuple[Any, str]] = {
    "none": (None, "input"),
    "list": ([1.0], "input"),
    "array": (IMAGE.numpy(), "input"),
    "0d": (torch.tensor(1.0), ""),
    "2d": (IMAGE[0, 0], ""),
    "5d": (IMAGE[None], ""),
    "no_channels": (IMAGE[:, :0], ""),
    "no_height": (IMAGE[:, :, :0], ""),
    "no_width": (IMAGE[..., :0], ""),
    "unbatched_without_channels": (IMAGE[0, :0], ""),
    "bool": (IMAGE > 0, ""),
    "complex": (IMAGE.cfloat(), ""),
    "sparse": (IMAGE.to_sparse(), ""),
}


@pytest.mark.parametrize("indices", (False, True), ids=("values", "indices"))
@pytest.mark.parametrize("bad", OPTIONS)
def test_bad_options(bad: str, indices: bool) -> None:
    changes, mentioned = OPTIONS[bad]
    call = {"input": IMAGE, "kernel_size": 3, "return_indices": indices, **changes}
    check_error("max_pool2d", call, mentioned)


@pytest.mark.parametrize("bad", OPTIONS)
def test_bad_options_of_an_unbatched_input_that_trains(bad: str) -> None:
    changes, _ = OPTIONS[bad]
    image = IMAGE[0].clone().requires_grad_()
    check_error("max_pool2d", {"input": image, "kernel_size": 3, **changes})


@pytest.mark.parametrize("indices", (False, True), ids=("values", "indices"))
@pytest.mark.parametrize("bad", INPUTS)
def test_bad_inputs(bad: str, indices: bool) -> None:
    image, mentioned = INPUTS[bad]
    call = {"input": image, "kernel_size": 3, "return_indices": indices}
    try:
        torch.nn.functional.max_pool2d(**call)
    except Exception:
        check_error("max_pool2d", call, mentioned)
    else:
        pytest.fail("native takes this")


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

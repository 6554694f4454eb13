"""conv2d: bad arguments raise what torch.nn.functional raises, in words that name them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.support import CNNEXT, NATIVE

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject

IMAGE, WEIGHT, BIAS = torch.ones(2, 4, 6, 6), torch.ones(8, 4, 3, 3), torch.ones(8)

#: One argument at a time is made invalid by tests/upstream_suites/test_adversarial_inputs.py.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "padding_same_strided": ({"padding": "same", "stride": 2}, "stride=2, padding='same'"),
    "padding_same_strided_once": ({"padding": "same", "stride": [1, 2]}, "stride=[1, 2]"),
    "groups_too_many": ({"groups": 2}, "input[2, 4, 6, 6] to have 8 channels"),
    "unknown_option": ({"strides": 1}, ""),
    "input_unbatched_channels": ({"input": IMAGE[0, :3]}, "to have 4 channels"),
    "input_too_small": ({"input": IMAGE[..., :2]}, "input.shape=[2, 4, 6, 2]"),
    "input_empty_wrong_channels": ({"input": IMAGE[:0, :3]}, "[0, 3, 6, 6]"),
    "input_bool": ({"input": IMAGE > 0, "weight": WEIGHT > 0, "bias": None}, ""),
    "weight_double": ({"weight": WEIGHT.double()}, "weight.dtype=torch.float64"),
    "weight_without_outputs": ({"weight": WEIGHT[:0], "bias": None}, "weight"),
    "bias_double": ({"bias": BIAS.double()}, "bias.dtype=torch.float64"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_arguments(bad: str) -> None:
    changes, mentioned = BAD[bad]
    call = {"input": IMAGE, "weight": WEIGHT, "bias": BIAS, **changes}
    check_error("conv2d", call, mentioned)


def test_operands_are_required() -> None:
    check_error("conv2d", {})
    check_error("conv2d", {"input": IMAGE}, "weight")


@pytest.mark.parametrize("image", (IMAGE, IMAGE[0]), ids=("batched", "unbatched"))
@pytest.mark.parametrize("padding", ("same", "valid"))
def test_a_bias_of_another_dtype_is_natives(
    padding: str, image: torch.Tensor, fallbacks: list[str]
) -> None:
    """Which takes one where padding is a word and not all is float32, and nowhere else."""
    call = (image.double(), WEIGHT.double(), BIAS, 1, padding)
    assert_bitwise_equal(CNNEXT.conv2d(*call), NATIVE.conv2d(*call))
    assert len(fallbacks) == 1 and "bias" in fallbacks[0]


# ------------------------------------------------------------------------- the bare operators

GEOMETRY = (1, 1, 0, 0, 1, 1, 1)
GRADIENT = torch.ones(2, 8, 4, 4)

FORWARD = {
    "input_3d": ((IMAGE[0], WEIGHT, BIAS, *GEOMETRY), "input"),
    "weight_3d": ((IMAGE, WEIGHT[0], BIAS, *GEOMETRY), "weight"),
    "weight_double": ((IMAGE, WEIGHT.double(), None, *GEOMETRY), "weight"),
    "bias_double": ((IMAGE, WEIGHT, BIAS.double(), *GEOMETRY), "bias"),
    "bias_short": ((IMAGE, WEIGHT, BIAS[:7], *GEOMETRY), "bias"),
    "bias_2d": ((IMAGE, WEIGHT, BIAS[None], *GEOMETRY), "bias"),
    "channels": ((IMAGE[:, :3], WEIGHT, BIAS, *GEOMETRY), "channels"),
    "half": ((IMAGE.half(), WEIGHT.half(), None, *GEOMETRY), "float32"),
    "stride": ((IMAGE, WEIGHT, BIAS, 0, 1, 0, 0, 1, 1, 1), "stride"),
    "padding": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, -1, 1, 1, 1), "padding"),
    "dilation": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 0, 1, 1), "dilation"),
    "groups_zero": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 1, 1, 0), "groups"),
    "groups_three": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 1, 1, 3), "groups"),
    "too_small": ((IMAGE[..., :2], WEIGHT, BIAS, *GEOMETRY), "smaller than the kernel"),
    "no_rows_in_weight": ((IMAGE, WEIGHT[:, :, :0], BIAS, *GEOMETRY), "kernel"),
}

BACKWARD_INPUT = {
    "grad_output_3d": ((GRADIENT[0], WEIGHT, 6, 6, *GEOMETRY), "grad_output"),
    "grad_output_size": ((GRADIENT[..., :3], WEIGHT, 6, 6, *GEOMETRY), "grad_output"),
    "grad_output_channels": ((GRADIENT[:, :7], WEIGHT, 6, 6, *GEOMETRY), "grad_output"),
    "weight_double": ((GRADIENT, WEIGHT.double(), 6, 6, *GEOMETRY), "weight"),
    "size": ((GRADIENT, WEIGHT, 7, 6, *GEOMETRY), "grad_output"),
    "size_negative": ((GRADIENT, WEIGHT, -6, 6, *GEOMETRY), "input"),
}

BACKWARD_WEIGHT = {
    "input_3d": ((GRADIENT, IMAGE[0], WEIGHT, *GEOMETRY), "input"),
    "input_double": ((GRADIENT, IMAGE.double(), WEIGHT, *GEOMETRY), "input"),
    "grad_output_size": ((GRADIENT[..., :3], IMAGE, WEIGHT, *GEOMETRY), "grad_output"),
    "batch": ((GRADIENT[:1], IMAGE, WEIGHT, *GEOMETRY), "grad_output"),
    "weight_channels": ((GRADIENT, IMAGE, WEIGHT[:, :3], *GEOMETRY), "channels"),
}


@pytest.mark.parametrize("bad", FORWARD)
@pytest.mark.parametrize("name", ("conv2d", "conv2d_forward"))
def test_forward_operator(name: str, bad: str) -> None:
    arguments, mentioned = FORWARD[bad]
    check_operator_error(name, arguments, mentioned)


@pytest.mark.parametrize("bad", BACKWARD_INPUT)
def test_backward_input_operator(bad: str) -> None:
    arguments, mentioned = BACKWARD_INPUT[bad]
    check_operator_error("conv2d_backward_input", arguments, mentioned)


@pytest.mark.parametrize("bad", BACKWARD_WEIGHT)
def test_backward_weight_operator(bad: str) -> None:
    arguments, mentioned = BACKWARD_WEIGHT[bad]
    check_operator_error("conv2d_backward_weight", arguments, mentioned)

"""conv2d: bad arguments raise what torch.nn.functional raises, in words that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.support import CNNEXT, NATIVE

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject

IMAGE, WEIGHT, BIAS = torch.ones(2, 4, 6, 6), torch.ones(8, 4, 3, 3), torch.ones(8)

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "stride_float": ({"stride": 1.0}, "stride=1.0"),
    "stride_bool": ({"stride": True}, "stride=True"),
    "stride_bools": ({"stride": [True, True]}, "stride"),
    "stride_numpy_float": ({"stride": np.float32(1)}, "stride"),
    "stride_numpy_bool": ({"stride": np.bool_(True)}, "stride"),
    "stride_text": ({"stride": "1"}, "stride='1'"),
    "stride_none": ({"stride": None}, "stride=None"),
    "stride_range": ({"stride": range(1, 3)}, "stride=range(1, 3)"),
    "stride_vector": ({"stride": torch.tensor([1, 1])}, "stride"),
    "stride_float_tensor": ({"stride": torch.tensor(1.0)}, "stride"),
    "stride_array": ({"stride": np.array([1, 1])}, "stride"),
    "stride_empty": ({"stride": []}, "stride="),
    "stride_three": ({"stride": (1, 1, 1)}, "stride=(1, 1, 1)"),
    "stride_zero": ({"stride": 0}, "stride=0"),
    "stride_negative": ({"stride": (1, -1)}, "stride=(1, -1)"),
    "dilation_float": ({"dilation": 1.5}, "dilation=1.5"),
    "dilation_empty": ({"dilation": []}, "dilation="),
    "dilation_zero": ({"dilation": 0}, "dilation=0"),
    "dilation_negative": ({"dilation": (-1, 1)}, "dilation=(-1, 1)"),
    "dilation_too_large": ({"dilation": 3}, "size per channel: (6 x 6). Kernel size: (7 x 7)"),
    "padding_float": ({"padding": 0.5}, "padding=0.5"),
    "padding_bool": ({"padding": False}, "padding=False"),
    "padding_none": ({"padding": None}, "padding=None"),
    "padding_empty": ({"padding": []}, "padding="),
    "padding_three": ({"padding": (1, 1, 1)}, "padding=(1, 1, 1)"),
    "padding_negative": ({"padding": (0, -1)}, "padding=(0, -1)"),
    "padding_word": ({"padding": "SAME"}, "padding='SAME'"),
    "padding_no_word": ({"padding": ""}, "padding=''"),
    "padding_same_strided": ({"padding": "same", "stride": 2}, "stride=2, padding='same'"),
    "padding_same_strided_once": ({"padding": "same", "stride": [1, 2]}, "stride=[1, 2]"),
    "groups_zero": ({"groups": 0}, "groups=0"),
    "groups_negative": ({"groups": -1}, "groups=-1"),
    "groups_indivisible": ({"groups": 3}, "groups=3, expected weight to be divisible by 3"),
    "groups_too_many": ({"groups": 2}, "input[2, 4, 6, 6] to have 8 channels"),
    "groups_float": ({"groups": 1.0}, "groups=1.0"),
    "groups_bool": ({"groups": True}, "groups=True"),
    "groups_none": ({"groups": None}, "groups=None"),
    "groups_tuple": ({"groups": (1,)}, "groups=(1,)"),
    "unknown_option": ({"strides": 1}, ""),
}

OPERANDS: dict[str, tuple[dict[str, Any], str]] = {
    "input_none": ({"input": None}, ""),
    "input_list": ({"input": [1.0]}, ""),
    "input_array": ({"input": IMAGE.numpy()}, ""),
    "input_0d": ({"input": torch.tensor(1.0)}, "input of size: []"),
    "input_2d": ({"input": IMAGE[0, 0]}, "input of size: [6, 6]"),
    "input_5d": ({"input": IMAGE[None]}, "input of size: [1, 2, 4, 6, 6]"),
    "input_channels": ({"input": IMAGE[:, :3]}, "expected input[2, 3, 6, 6] to have 4 channels"),
    "input_unbatched_channels": ({"input": IMAGE[0, :3]}, "to have 4 channels"),
    "input_too_small": ({"input": IMAGE[..., :2]}, "input.shape=[2, 4, 6, 2]"),
    "input_without_height": ({"input": IMAGE[:, :, :0]}, "(0 x 6)"),
    "input_without_width": ({"input": IMAGE[..., :0]}, "(6 x 0)"),
    "input_empty_wrong_channels": ({"input": IMAGE[:0, :3]}, "[0, 3, 6, 6]"),
    "input_bool": ({"input": IMAGE > 0, "weight": WEIGHT > 0, "bias": None}, ""),
    "input_integer": ({"input": IMAGE.long()}, ""),
    "weight_none": ({"weight": None}, ""),
    "weight_3d": ({"weight": WEIGHT[0]}, "weight.shape=[4, 3, 3]"),
    "weight_5d": ({"weight": WEIGHT[None]}, "weight.shape=[1, 8, 4, 3, 3]"),
    "weight_double": ({"weight": WEIGHT.double()}, "weight.dtype=torch.float64"),
    "weight_half": ({"weight": WEIGHT.half()}, "weight"),
    "weight_without_rows": ({"weight": WEIGHT[:, :, :0]}, ""),
    "weight_without_outputs": ({"weight": WEIGHT[:0], "bias": None}, "weight"),
    "weight_without_inputs": ({"weight": WEIGHT[:, :0]}, "[8, 0, 3, 3]"),
    "bias_number": ({"bias": 1.0}, ""),
    "bias_0d": ({"bias": BIAS[0]}, "bias of size []"),
    "bias_2d": ({"bias": BIAS[None]}, "bias of size [1, 8]"),
    "bias_short": ({"bias": BIAS[:7]}, "bias of size [7]"),
    "bias_double": ({"bias": BIAS.double()}, "bias.dtype=torch.float64"),
    "bias_integer": ({"bias": BIAS.long()}, "bias"),
}


@pytest.mark.parametrize("bad", (*OPTIONS, *OPERANDS))
def test_bad_arguments(bad: str) -> None:
    changes, mentioned = {**OPTIONS, **OPERANDS}[bad]
    call = {"input": IMAGE, "weight": WEIGHT, "bias": BIAS, **changes}
    check_error("conv2d", call, mentioned)


@pytest.mark.parametrize("bad", OPTIONS)
def test_bad_options_of_an_unbatched_input_that_trains(bad: str) -> None:
    changes, _ = OPTIONS[bad]
    image = IMAGE[0].clone().requires_grad_()
    check_error("conv2d", {"input": image, "weight": WEIGHT, "bias": BIAS, **changes})


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

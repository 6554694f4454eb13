"""The raw operators check what they are given: anything may call them, and none may crash.

Those of the recurrence: tests/ops/test_recurrence.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.runtime.library import ops
from tests.ops.specs import ELEMENTWISE, Spec, each
from tests.ops.support import check_operator_error

IMAGE, WEIGHT, BIAS = torch.ones(2, 4, 6, 6), torch.ones(8, 4, 3, 3), torch.ones(8)
ROWS, MATRIX, VECTOR = torch.ones(3, 6), torch.ones(4, 6), torch.ones(4)
OF_CONV, OF_POOL, OF_ROWS = torch.ones(2, 8, 4, 4), torch.ones(2, 4, 3, 3), torch.ones(3, 4)
STATE, WEIGHTS = torch.ones(3, 4), (torch.ones(16, 6), torch.ones(16, 4))  # of an LSTM cell
OFFSETS = torch.zeros(2, 4, 3, 3, dtype=torch.uint8)
INDICES, ARGMAX = OFFSETS.long(), OFFSETS.int()
BOXES, NAN = torch.tensor([[0.0, 1, 1, 4, 5], [1, 0, 2, 9, 9]]), float("nan")

CONV = (1, 1, 0, 0, 1, 1, 1)  # stride, pad, dilation, groups
POOL = (2, 2, 2, 2, 0, 0, 1, 1)  # kernel, stride, pad, dilation of 2x2 windows
MEAN = (2, 2, 2, 2, 0, 0, True, 0)  # kernel, stride, pad, count_include_pad, divisor_override

LARGE = 2**40

HALF = "cnnext's CPU kernels take float32 and float64, but the operands have dtype Half"
BAD_WHERE = (
    "where must hold offsets of dtype Byte or positions of dtype Long, as max_pool2d "
    "recorded them, but has dtype "
)


def pixel(*size: int) -> Tensor:
    """One image with one channel."""
    return torch.ones(1, 1, *size)


CONV2D_FORWARD = {
    "input_3d": (
        (IMAGE[0], WEIGHT, BIAS, *CONV),
        "input must be 4-dimensional, but has shape [4, 6, 6]",
    ),
    "weight_3d": ((IMAGE, WEIGHT[0], BIAS, *CONV), "weight must be 4-dimensional"),
    "weight_double": ((IMAGE, WEIGHT.double(), None, *CONV), "weight must have dtype Float"),
    "bias_double": ((IMAGE, WEIGHT, BIAS.double(), *CONV), "bias must have dtype Float"),
    "bias_short": ((IMAGE, WEIGHT, BIAS[:7], *CONV), "bias must have shape [8], but has shape [7]"),
    "bias_2d": (
        (IMAGE, WEIGHT, BIAS[None], *CONV),
        "bias must have shape [8], but has shape [1, 8]",
    ),
    "no_channels": (
        (IMAGE[:, :0], WEIGHT[:, :0], BIAS, *CONV),
        "input must have channels, but has shape [2, 0, 6, 6]",
    ),
    "channels": ((IMAGE[:, :3], WEIGHT, BIAS, *CONV), "weight asks for 4 input channels"),
    "half": ((IMAGE.half(), WEIGHT.half(), None, *CONV), HALF),
    "stride": ((IMAGE, WEIGHT, BIAS, 0, 1, 0, 0, 1, 1, 1), "stride must be positive"),
    "padding": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, -1, 1, 1, 1), "padding must not be negative"),
    "dilation": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 0, 1, 1), "dilation must be positive"),
    "dilation_overflows": (
        (pixel(8, 8), pixel(1, 1).expand(1, 1, 2**24 + 1, 1), None, 1, 1, 0, 0, LARGE, 1, 1),
        f"the padded input (8 x 8) is smaller than the kernel ({2**24 + 1} x 1, "
        f"dilation {LARGE} x 1)",
    ),
    "output_overflows": (
        (pixel(8, 8), pixel(1, 1), None, 1, 1, LARGE, LARGE, 1, 1, 1),
        f"padding must not exceed {2**38}, but is ({LARGE}, {LARGE})",
    ),
    "output_too_large": (
        (pixel(8, 8), pixel(1, 1), None, 1, 1, 2**38, 2**38, 1, 1, 1),
        f"a result of shape [1, 1, {2**39 + 8}, {2**39 + 8}] is too large",
    ),
    "groups_zero": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 1, 1, 0), "groups must be positive"),
    "groups_three": ((IMAGE, WEIGHT, BIAS, 1, 1, 0, 0, 1, 1, 3), "groups=3 must divide"),
    "too_small": ((IMAGE[..., :2], WEIGHT, BIAS, *CONV), "smaller than the kernel"),
    "no_rows_in_weight": ((IMAGE, WEIGHT[:, :, :0], BIAS, *CONV), "kernel size must be positive"),
}

#: Arguments of each that are rejected, and what the message says.
REJECTED: dict[str, dict[str, tuple[tuple[Any, ...], str]]] = {
    "conv2d": CONV2D_FORWARD,
    "conv2d_forward": CONV2D_FORWARD,
    "conv2d_backward_input": {
        "grad_output_3d": ((OF_CONV[0], WEIGHT, 6, 6, *CONV), "grad_output must be 4-dimensional"),
        "grad_output_size": (
            (OF_CONV[..., :3], WEIGHT, 6, 6, *CONV),
            "grad_output must have shape [2, 8, 4, 4], but has shape [2, 8, 4, 3]",
        ),
        "grad_output_empty": (
            (OF_CONV[:, :0], WEIGHT[:0], 6, 6, *CONV),
            "grad_output must not be empty, but has shape [2, 0, 4, 4]",
        ),
        "grad_output_channels": ((OF_CONV[:, :7], WEIGHT, 6, 6, *CONV), "has shape [2, 7, 4, 4]"),
        "weight_double": ((OF_CONV, WEIGHT.double(), 6, 6, *CONV), "weight must have dtype Float"),
        "size": ((OF_CONV, WEIGHT, 7, 6, *CONV), "grad_output must have shape [2, 8, 5, 4]"),
        "size_negative": (
            (OF_CONV, WEIGHT, -6, 6, *CONV),
            "height and width of input must not be negative, but input is (-6 x 6)",
        ),
    },
    "conv2d_backward_weight": {
        "input_3d": ((OF_CONV, IMAGE[0], WEIGHT, *CONV), "input must be 4-dimensional"),
        "input_double": ((OF_CONV, IMAGE.double(), WEIGHT, *CONV), "input must have dtype Float"),
        "grad_output_size": ((OF_CONV[..., :3], IMAGE, WEIGHT, *CONV), "has shape [2, 8, 4, 3]"),
        "batch": ((OF_CONV[:1], IMAGE, WEIGHT, *CONV), "grad_output must have shape [2, 8, 4, 4]"),
        "weight_channels": ((OF_CONV, IMAGE, WEIGHT[:, :3], *CONV), "asks for 3 input channels"),
    },
    "linear": {"input_columns": ((ROWS[:, :5], MATRIX, None), "input must have 6 columns")},
    "linear_forward": {
        "input_columns": ((ROWS[:, :5], MATRIX, None), "input must have 6 columns, as weight has"),
        "input_0d": (
            (torch.tensor(1.0), MATRIX, None),
            "input must have 6 columns, as weight has, but has shape []",
        ),
        "weight_1d": ((ROWS, MATRIX[0], None), "weight must be 2-dimensional, but has shape [6]"),
        "weight_double": ((ROWS, MATRIX.double(), None), "weight must have dtype Float"),
        "weight_empty": (
            (ROWS[:, :0], MATRIX[:, :0], None),
            "weight must not be empty, but has shape [4, 0]",
        ),
        "bias_short": ((ROWS, MATRIX, VECTOR[:3]), "bias must have shape [4], but has shape [3]"),
        "bias_double": ((ROWS, MATRIX, VECTOR.double()), "bias must have dtype Float"),
        "half": ((ROWS.half(), MATRIX.half(), None), HALF),
    },
    "linear_backward_input": {
        "gradient_columns": (
            (OF_ROWS[:, :3], MATRIX),
            "grad_output must have 4 columns, one for each row of weight, but has shape [3, 3]",
        ),
        "gradient_double": ((OF_ROWS.double(), MATRIX), "weight must have dtype Double"),
    },
    "linear_backward_weight": {
        "rows": ((OF_ROWS, ROWS[:2]), "but have shapes [2, 6] and [3, 4]"),
        "rows_of_another_order": (
            (torch.ones(2, 3, 4), torch.ones(3, 2, 5)),
            "input and grad_output must have equal dimensions but for the last, "
            "but have shapes [3, 2, 5] and [2, 3, 4]",
        ),
        "dimensions": ((OF_ROWS, ROWS[None]), "but have shapes [1, 3, 6] and [3, 4]"),
        "input_double": ((OF_ROWS, ROWS.double()), "input must have dtype Float"),
    },
    "lstm_cell_forward": {
        "state_of_another_size": (
            (ROWS, STATE, STATE[:, :3], *WEIGHTS, None, None),
            "cx must have shape [3, 4], but has shape [3, 3]",
        ),
        "bias_short": (
            (ROWS, STATE, STATE, *WEIGHTS, torch.ones(12), torch.ones(16)),
            "b_ih must have shape [16], but has shape [12]",
        ),
    },
    "max_pool2d": {
        "kernel": ((IMAGE, 3, 3, 0, *POOL[1:], True), "kernel_size must be positive"),
        "stride": ((IMAGE, 3, 3, 2, 2, 0, 2, 0, 0, 1, 1, True), "stride must be positive"),
        "padding": ((IMAGE, 3, 3, 2, 2, 2, 2, 2, 0, 1, 1, True), "padding must be between 0"),
        "dilation": ((IMAGE, 3, 3, 2, 2, 2, 2, 0, 0, 0, 1, True), "dilation must be positive"),
    },
    "max_pool2d_forward": {
        "input_3d": ((IMAGE[0], 3, 3, *POOL, True), "input must be 4-dimensional"),
        "input_half": ((IMAGE.half(), 3, 3, *POOL, True), HALF),
        "input_without_height": (
            (pixel(0, 5), 1, 2, *POOL, False),
            "height and width of input and output must be positive, "
            "but input is (0 x 5) and output is (1 x 2)",
        ),
        "output_too_large": ((IMAGE, 4, 3, *POOL, True), "output (4 x 3) does not fit"),
        "output_overflows": (
            (pixel(2, 2), 2**24 + 1, 1, *(2, 2, LARGE, 2, 0, 0, 1, 1), False),
            f"output ({2**24 + 1} x 1) does not fit input (2 x 2)",
        ),
        "output_zero": ((IMAGE, 0, 3, *POOL, True), "output is (0 x 3)"),
        "large_padding": (
            (pixel(5, 5), 1, 1, *(2, 3, 1, 1, 2, 0, 1, 1), False),
            "padding must be between 0 and half of kernel_size (2, 3), but is (2, 0)",
        ),
        "window_misses_the_input": (
            (pixel(2, 10**6), 4, 10**6, *(7, 1, 1, 1, 3, 0, 4, 1), False),
            f"output (4 x {10**6}) does not fit input (2 x {10**6})",
        ),
        "stride_huge": (
            (pixel(5, 5), 1, 1, *(2, 2, 1, 2**62, 0, 0, 1, 1), False),
            f"stride must not exceed {LARGE}, but is (1, {2**62})",
        ),
        "window_overflows": (
            (pixel(5, 5), 1, 1, *(LARGE, 1, 1, 1, 0, 0, LARGE, 1), False),
            f"(kernel_size - 1) * dilation must not exceed {LARGE}, "
            f"but kernel_size is ({LARGE}, 1) and dilation is ({LARGE}, 1)",
        ),
    },
    "max_pool2d_backward": {
        "gradient_size": (
            (OF_POOL[..., :2], OFFSETS, 6, 6, *POOL),
            "grad_output must have shape [2, 4, 3, 3], but has shape [2, 4, 3, 2]",
        ),
        "gradient_3d": ((OF_POOL[0], OFFSETS, 6, 6, *POOL), "grad_output must be 4-dimensional"),
        "where_dtype": ((OF_POOL, OF_POOL, 6, 6, *POOL), BAD_WHERE + "Float"),
        "where_3d": ((OF_POOL, OFFSETS[0], 6, 6, *POOL), "where must be 4-dimensional"),
        "bytes_for_a_large_window": (
            (pixel(2, 2), pixel(2, 2).byte(), 80, 80, *(40, 40, 40, 40, 0, 0, 1, 1)),
            "where of dtype Byte needs a kernel_size of 1 to 256 elements, "
            "but kernel_size is (40, 40)",
        ),
        "input_too_small": ((OF_POOL, OFFSETS, 3, 6, *POOL), "output (3 x 3) does not fit"),
    },
    "max_pool2d_indices": {
        "where_3d": ((OFFSETS[0], 6, 6, *POOL), "where must be 4-dimensional"),
        "where_dtype": ((OF_POOL, 6, 6, *POOL), BAD_WHERE + "Float"),
        "where_holds_positions": ((INDICES, 6, 6, *POOL), BAD_WHERE + "Long"),
        "where_size": ((OFFSETS, 3, 6, *POOL), "output (3 x 3) does not fit input (3 x 6)"),
    },
    "avg_pool2d": {
        "kernel": ((IMAGE, 3, 3, 0, *MEAN[1:]), "kernel_size must be positive, but is (0, 2)"),
        "stride": ((IMAGE, 3, 3, 2, 2, 0, 2, 0, 0, True, 0), "stride must be positive"),
        "padding": ((IMAGE, 3, 3, 2, 2, 2, 2, 2, 0, True, 0), "padding must be between 0"),
        "stride_huge": (
            (IMAGE, 1, 1, 2, 2, 2**62, 2, 0, 0, True, 0),
            f"stride must not exceed {LARGE}, but is ({2**62}, 2)",
        ),
    },
    "avg_pool2d_forward": {
        "input_3d": (
            (IMAGE[0], 3, 3, *MEAN),
            "input must be 4-dimensional, but has shape [4, 6, 6]",
        ),
        "input_half": ((IMAGE.half(), 3, 3, *MEAN), HALF),
        "output_too_large": ((IMAGE, 4, 3, *MEAN), "output (4 x 3) does not fit input (6 x 6)"),
        "output_zero": ((IMAGE, 0, 3, *MEAN), "output is (0 x 3)"),
    },
    "avg_pool2d_backward": {
        "gradient_3d": ((IMAGE[0], 12, 12, False, *MEAN), "grad_output must be 4-dimensional"),
        "input_too_small": ((IMAGE, 3, 12, False, *MEAN), "output (6 x 6) does not fit"),
        "input_negative": ((IMAGE, -12, 12, False, *MEAN), "input is (-12 x 12)"),
    },
    "adaptive_avg_pool2d": {
        "output_negative": ((IMAGE, 3, -3), "output is (3 x -3)"),
        "output_huge": ((IMAGE, 2**62, 1), f"output ({2**62} x 1) is too large"),
    },
    "adaptive_avg_pool2d_forward": {
        "input_3d": ((IMAGE[0], 3, 3), "input must be 4-dimensional, but has shape [4, 6, 6]"),
        "input_half": ((IMAGE.half(), 3, 3), HALF),
        "output_zero": ((IMAGE, 0, 3), "output is (0 x 3)"),
    },
    "adaptive_avg_pool2d_backward": {
        "gradient_3d": ((IMAGE[0], 6, 6, False), "grad_output must be 4-dimensional"),
        "input_zero": ((IMAGE, 0, 6, False), "input is (0 x 6)"),
        "input_huge": ((IMAGE, 2**62, 6, True), "output (6 x 6) is too large"),
    },
    "adaptive_max_pool2d": {"output_huge": ((IMAGE, 2**62, 1, True), "x 1) is too large")},
    "adaptive_max_pool2d_forward": {
        "input_3d": ((IMAGE[0], 3, 3, True), "input must be 4-dimensional"),
        "input_half": ((IMAGE.half(), 3, 3, True), HALF),
        "output_zero": ((IMAGE, 0, 3, False), "output is (0 x 3)"),
    },
    "adaptive_max_pool2d_backward": {
        "gradient_3d": ((IMAGE[0], INDICES, 6, 6), "grad_output must be 4-dimensional"),
        "gradient_size": ((IMAGE, INDICES, 6, 6), "grad_output must have shape [2, 4, 3, 3]"),
        "indices_dtype": ((IMAGE, IMAGE, 6, 6), "indices must have dtype Long, but has Float"),
        "input_negative": ((OF_POOL, INDICES, -6, 6), "input is (-6 x 6)"),
    },
    "roi_pool_forward": {
        "input_3d": ((IMAGE[0], BOXES, 3, 3, 0.5, True), "input must be 4-dimensional"),
        "input_half": ((IMAGE.half(), BOXES.half(), 3, 3, 0.5, True), HALF),
        "boxes_1d": ((IMAGE, BOXES[0], 3, 3, 0.5, True), "boxes must be 2-dimensional"),
        "boxes_of_four": ((IMAGE, BOXES[:, 1:], 3, 3, 0.5, True), "shape [K, 5], but has shape"),
        "boxes_double": ((IMAGE, BOXES.double(), 3, 3, 0.5, True), "boxes must have dtype Float"),
        "boxes_beyond": ((IMAGE, BOXES + 2, 3, 3, 0.5, True), "boxes[0, 0] must be the index of"),
        "boxes_before": ((IMAGE, BOXES - 1, 3, 3, 0.5, True), "2 images of input, but is -1"),
        "boxes_nan": ((IMAGE, BOXES * NAN, 3, 3, 0.5, True), "boxes must be finite, but boxes[0, "),
        "scale_nan": ((IMAGE, BOXES, 3, 3, NAN, True), "spatial_scale must be finite"),
        "output_zero": ((IMAGE, BOXES, 0, 3, 0.5, False), "output is (0 x 3)"),
        "output_huge": ((IMAGE, BOXES, 2**40, 2**40, 0.5, False), "is too large"),
    },
    "roi_pool_backward": {
        "gradient_3d": (
            (IMAGE[0], BOXES, ARGMAX, 2, 6, 6, False),
            "grad_output must be 4-dimensional",
        ),
        "boxes_few": ((OF_POOL, BOXES[:1], ARGMAX, 2, 6, 6, False), "boxes must have shape [2, 5]"),
        "boxes_beyond": ((OF_POOL, BOXES, ARGMAX, 1, 6, 6, True), "one of the 1 images"),
        "argmax_dtype": ((OF_POOL, BOXES, INDICES, 2, 6, 6, False), "argmax must have dtype Int"),
        "argmax_size": (
            (OF_POOL, BOXES, ARGMAX[:1], 2, 6, 6, False),
            "argmax must have shape [2, 4, 3, 3]",
        ),
        "batch_negative": ((OF_POOL, BOXES, ARGMAX, -2, 6, 6, False), "n must not be negative"),
        "input_negative": ((OF_POOL, BOXES, ARGMAX, 2, -6, 6, False), "input is (-6 x 6)"),
        "input_huge": ((OF_POOL, BOXES, ARGMAX, 2, 2**20, 2**20, False), "too many positions"),
    },
}


@pytest.mark.parametrize(
    ("name", "arguments", "mentioned"),
    [
        pytest.param(name, *case, id=f"{name}-{id}")
        for name, cases in REJECTED.items()
        for id, case in cases.items()
    ],
)
def test_rejected(name: str, arguments: tuple[Any, ...], mentioned: str) -> None:
    check_operator_error(name, arguments, mentioned)


@each(ELEMENTWISE)
def test_rejected_by_elementwise_operators(spec: Spec) -> None:
    name, ones = spec.name, torch.ones(3)
    _, saved, *_ = spec.raw[f"{name}_backward"].varied
    short = torch.ones(8)
    short.untyped_storage().resize_(28)  # one element has no memory
    for raw, arguments, mentioned in (
        (f"{name}_forward", (ones.half(),), HALF),
        (
            f"{name}_forward",
            (short,),
            "its data is not allocated yet: it reaches to element 7 of a storage of 28 bytes",
        ),
        (f"{name}_", (ones.half(),), HALF),
        (
            f"{name}_",
            (torch.ones(4, 4)[:, ::2],),
            f"{name}_: self must be dense, without gaps or overlaps, "
            "but has shape [4, 2] and strides [4, 2]",
        ),
        (f"{name}_backward", (ones, torch.ones(4)), "grad_output must have shape [4]"),
        (
            f"{name}_backward",
            (torch.ones(2, 3), torch.ones(3, 2)),
            "grad_output must have shape [3, 2], but has shape [2, 3]",
        ),
        (
            f"{name}_backward",
            (ones, ones.double()),
            f"{saved} must have dtype Float like the other operands, but has Double",
        ),
    ):
        if raw in spec.operator.raw:
            check_operator_error(raw, (*arguments, *spec.options), mentioned)


@pytest.mark.parametrize(
    "where",
    [
        torch.full((1, 1, 4, 4), 255, dtype=torch.uint8),
        torch.full((1, 1, 4, 4), -1, dtype=torch.int64),
        torch.full((1, 1, 4, 4), LARGE, dtype=torch.int64),
    ],
    ids=["offset-255", "position-minus-1", "position-huge"],
)
def test_max_pool2d_backward_ignores_positions_outside(where: Tensor) -> None:
    grad = ops.max_pool2d_backward(torch.ones(1, 1, 4, 4), where, 8, 8, *POOL)
    assert torch.equal(grad, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("channels_last", (False, True))
@pytest.mark.parametrize("position", (-1, -(2**31), 36, 2**31 - 1))
def test_roi_pool_backward_ignores_positions_outside(position: int, channels_last: bool) -> None:
    argmax = torch.full_like(ARGMAX, position)
    grad = ops.roi_pool_backward(OF_POOL, BOXES, argmax, 2, 6, 6, channels_last)
    assert torch.equal(grad, torch.zeros(2, 4, 6, 6))


def test_large_stride_has_one_class_of_positions() -> None:
    grad = ops.conv2d_backward_input(
        torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 3, 3, *(LARGE, LARGE, 0, 0, 1, 1, 1)
    )
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 0, 0] = 1
    assert torch.equal(grad, expected)

"""The raw operators check what they are given: anything may call them, and none may crash."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cnnext.runtime.library import ops

_POOL = (2, 2, 2, 2, 0, 0, 1, 1)  # k, stride, pad, dilation of a 2x2 pool
_CONV = (1, 1, 0, 0, 1, 1, 1)  # stride, pad, dilation, groups


def _randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


def _with_bytes(size: int, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, whose memory now has only `size` bytes."""
    tensor.untyped_storage().resize_(size)
    return tensor


#: A call, and what it raises: the argument, what is expected of it, and its value.
REJECTED: dict[str, tuple[Callable[[], Any], str]] = {
    "max_pool2d-reach-overflows": (
        lambda: ops.max_pool2d_forward(
            _randn(1, 1, 5, 5), 1, 1, *(2**40, 1, 1, 1, 0, 0, 2**40, 1), False
        ),
        f"(kernel_size - 1) * dilation must not exceed {2**40}, "
        f"but kernel_size is ({2**40}, 1) and dilation is ({2**40}, 1)",
    ),
    "max_pool2d-stride-overflows": (
        lambda: ops.max_pool2d_forward(
            _randn(1, 1, 5, 5), 1, 1, *(2, 2, 1, 2**62, 0, 0, 1, 1), False
        ),
        f"stride must not exceed {2**40}, but is (1, {2**62})",
    ),
    "conv2d-dilation-overflows": (
        lambda: ops.conv2d_forward(
            _randn(1, 1, 8, 8),
            _randn(1, 1, 1, 1).expand(1, 1, 2**24 + 1, 1),
            None,
            *(1, 1, 0, 0, 2**40, 1, 1),
        ),
        f"the padded input (8 x 8) is smaller than the kernel ({2**24 + 1} x 1, "
        f"dilation {2**40} x 1)",
    ),
    "conv2d-output-overflows": (
        lambda: ops.conv2d_forward(
            _randn(1, 1, 8, 8), _randn(1, 1, 1, 1), None, *(1, 1, 2**40, 2**40, 1, 1, 1)
        ),
        f"padding must not exceed {2**38}, but is ({2**40}, {2**40})",
    ),
    "conv2d-output-too-large": (
        lambda: ops.conv2d_forward(
            _randn(1, 1, 8, 8), _randn(1, 1, 1, 1), None, *(1, 1, 2**38, 2**38, 1, 1, 1)
        ),
        f"a result of shape [1, 1, {2**39 + 8}, {2**39 + 8}] is too large",
    ),
    "conv2d-negative-input-size": (
        lambda: ops.conv2d_backward_input(_randn(1, 1, 8, 8), _randn(1, 1, 1, 1), -1, 8, *_CONV),
        "height and width of input must not be negative, but input is (-1 x 8)",
    ),
    "conv2d-input-without-channels": (
        lambda: ops.conv2d_forward(_randn(1, 0, 8, 8), _randn(1, 0, 1, 1), None, *_CONV),
        "input must have channels, but has shape [1, 0, 8, 8]",
    ),
    "conv2d-bias-of-another-size": (
        lambda: ops.conv2d_forward(_randn(1, 1, 8, 8), _randn(2, 1, 1, 1), _randn(3), *_CONV),
        "bias must have shape [2], but has shape [3]",
    ),
    "conv2d-grad-of-another-shape": (
        lambda: ops.conv2d_backward_input(_randn(1, 1, 7, 8), _randn(1, 1, 1, 1), 8, 8, *_CONV),
        "grad_output must have shape [1, 1, 8, 8], but has shape [1, 1, 7, 8]",
    ),
    "conv2d-grad-without-channels": (
        lambda: ops.conv2d_backward_input(_randn(1, 0, 8, 8), _randn(0, 1, 1, 1), 8, 8, *_CONV),
        "grad_output must not be empty, but has shape [1, 0, 8, 8]",
    ),
    "conv2d-unknown-dtype": (
        lambda: ops.conv2d_forward(
            _randn(1, 1, 8, 8).half(), _randn(1, 1, 1, 1).half(), None, *_CONV
        ),
        "cnnext's CPU kernels take float32 and float64, but the operands have dtype Half",
    ),
    "relu-one-element-has-no-memory": (
        lambda: ops.relu_forward(_with_bytes(28, _randn(8))),
        "its data is not allocated yet: it reaches to element 7 of a storage of 28 bytes",
    ),
    "relu-in-place-with-gaps": (
        lambda: ops.relu_(_randn(4, 4)[:, ::2]),
        "relu_: self must be dense, without gaps or overlaps, "
        "but has shape [4, 2] and strides [4, 2]",
    ),
    "avg_pool2d-input-without-batch": (
        lambda: ops.avg_pool2d_forward(_randn(1, 4, 4), 2, 2, *(2, 2, 2, 2, 0, 0, True, 0)),
        "input must be 4-dimensional, but has shape [1, 4, 4]",
    ),
    "relu-of-another-dtype": (
        lambda: ops.relu_backward(_randn(3), _randn(3).double()),
        "output must have dtype Float like the other operands, but has Double",
    ),
    "relu-of-another-shape": (
        lambda: ops.relu_backward(_randn(2, 3), _randn(3, 2)),
        "grad_output must have shape [3, 2], but has shape [2, 3]",
    ),
    "max_pool2d-where-is-float": (
        lambda: ops.max_pool2d_backward(_randn(1, 1, 2, 2), _randn(1, 1, 2, 2), 4, 4, *_POOL),
        "where must hold offsets of dtype Byte or positions of dtype Long, as max_pool2d "
        "recorded them, but has dtype Float",
    ),
    "max_pool2d-bytes-for-a-large-window": (
        lambda: ops.max_pool2d_backward(
            _randn(1, 1, 2, 2),
            torch.zeros(1, 1, 2, 2, dtype=torch.uint8),
            *(80, 80, 40, 40, 40, 40, 0, 0, 1, 1),
        ),
        "where of dtype Byte needs a kernel_size of 1 to 256 elements, but kernel_size is (40, 40)",
    ),
    "max_pool2d-grad-of-another-shape": (
        lambda: ops.max_pool2d_backward(
            _randn(1, 1, 2, 3), torch.zeros(1, 1, 2, 2, dtype=torch.uint8), 4, 4, *_POOL
        ),
        "grad_output must have shape [1, 1, 2, 2], but has shape [1, 1, 2, 3]",
    ),
    "max_pool2d-window-misses-the-input": (
        lambda: ops.max_pool2d_forward(
            _randn(1, 1, 2, 10**6), 4, 10**6, *(7, 1, 1, 1, 3, 0, 4, 1), False
        ),
        "output (4 x 1000000) does not fit input (2 x 1000000)",
    ),
    "max_pool2d-output-too-large": (
        lambda: ops.max_pool2d_forward(
            _randn(1, 1, 2, 2), 2**24 + 1, 1, *(2, 2, 2**40, 2, 0, 0, 1, 1), False
        ),
        f"output ({2**24 + 1} x 1) does not fit input (2 x 2)",
    ),
    "max_pool2d-indices-of-positions": (
        lambda: ops.max_pool2d_indices(torch.zeros(1, 1, 2, 2, dtype=torch.int64), 4, 4, *_POOL),
        "where must hold offsets of dtype Byte or positions of dtype Long, as max_pool2d "
        "recorded them, but has dtype Long",
    ),
    "max_pool2d-large-padding": (
        lambda: ops.max_pool2d_forward(_randn(1, 1, 5, 5), 1, 1, *(2, 3, 1, 1, 2, 0, 1, 1), False),
        "padding must be between 0 and half of kernel_size (2, 3), but is (2, 0)",
    ),
    "max_pool2d-no-height": (
        lambda: ops.max_pool2d_forward(_randn(1, 1, 0, 5), 1, 2, *_POOL, False),
        "height and width of input and output must be positive, "
        "but input is (0 x 5) and output is (1 x 2)",
    ),
    "adaptive_max_pool2d-indices-are-float": (
        lambda: ops.adaptive_max_pool2d_backward(_randn(1, 1, 2, 2), _randn(1, 1, 2, 2), 4, 4),
        "indices must have dtype Long, but has Float",
    ),
    "linear-scalar": (
        lambda: ops.linear_forward(torch.tensor(1.0), _randn(3, 2), None),
        "input must have 2 columns, as weight has, but has shape []",
    ),
    "linear-weight-without-columns": (
        lambda: ops.linear_forward(_randn(2, 0), _randn(3, 0), None),
        "weight must not be empty, but has shape [3, 0]",
    ),
    "linear-bias-of-another-size": (
        lambda: ops.linear_forward(_randn(4, 2), _randn(3, 2), _randn(2)),
        "bias must have shape [3], but has shape [2]",
    ),
    "linear-grad-of-another-shape": (
        lambda: ops.linear_backward_input(_randn(4, 2), _randn(3, 2)),
        "grad_output must have 3 columns, one for each row of weight, but has shape [4, 2]",
    ),
    "linear-rows-of-another-order": (
        lambda: ops.linear_backward_weight(_randn(2, 3, 4), _randn(3, 2, 5)),
        "input and grad_output must have equal dimensions but for the last, "
        "but have shapes [3, 2, 5] and [2, 3, 4]",
    ),
    "lstm_cell-state-of-another-size": (
        lambda: ops.lstm_cell_forward(
            _randn(2, 3), _randn(2, 4), _randn(2, 5), _randn(16, 3), _randn(16, 4), None, None
        ),
        "cx must have shape [2, 4], but has shape [2, 5]",
    ),
    "lstm_cell-bias-of-another-size": (
        lambda: ops.lstm_cell_forward(
            *(_randn(2, 3), _randn(2, 4), _randn(2, 4), _randn(16, 3), _randn(16, 4)),
            *(_randn(12), _randn(16)),
        ),
        "b_ih must have shape [16], but has shape [12]",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_raises_before_a_kernel_runs(case: str) -> None:
    call, message = REJECTED[case]
    with pytest.raises(RuntimeError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    "where",
    [
        torch.full((1, 1, 4, 4), 255, dtype=torch.uint8),
        torch.full((1, 1, 4, 4), -1, dtype=torch.int64),
        torch.full((1, 1, 4, 4), 2**40, dtype=torch.int64),
    ],
    ids=["offset-255", "position-minus-1", "position-huge"],
)
def test_max_pool2d_backward_ignores_positions_outside(where: torch.Tensor) -> None:
    grad = ops.max_pool2d_backward(torch.ones(1, 1, 4, 4), where, 8, 8, *_POOL)
    assert torch.equal(grad, torch.zeros(1, 1, 8, 8))


def test_large_stride_has_one_class_of_positions() -> None:
    grad = ops.conv2d_backward_input(
        torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 3, 3, *(2**40, 2**40, 0, 0, 1, 1, 1)
    )
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 0, 0] = 1
    assert torch.equal(grad, expected)

"""avg_pool2d: `torch.nn.functional.avg_pool2d` and `torch.nn.AvgPool2d` on cnnext's kernels."""

from __future__ import annotations

import operator
from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d as native_avg_pool2d

from cnnext.ops.common.arguments import IntOrPair
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    Pair,
    as_batch,
    as_pair,
    delegate_to_native,
    differentiate_backward,
    empty_in_layout,
    is_image,
    output_extent,
    prefers_channels_last,
    without_batch,
)
from cnnext.runtime.fallback import call_native, fallback_reason, gradient_needed, is_scripting
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

#: k_h, k_w, stride_h, stride_w, pad_h, pad_w, count_include_pad, divisor_override (0: none).
Windows = tuple[int, int, int, int, int, int, bool, int]

# ------------------------------------------------------------------------------- fake kernels


@register_fake("avg_pool2d", "avg_pool2d_forward")
def _fake_forward(input: Tensor, h_out: int, w_out: int, *windows: int) -> Tensor:
    size = (input.shape[0], input.shape[1], h_out, w_out)
    return empty_in_layout(input, size, prefers_channels_last(input))


@register_fake("avg_pool2d_backward")
def _fake_backward(
    grad_output: Tensor, h_in: int, w_in: int, channels_last: bool, *windows: int
) -> Tensor:
    size = (grad_output.shape[0], grad_output.shape[1], h_in, w_in)
    return empty_in_layout(grad_output, size, channels_last)


# ----------------------------------------------------------------------------------- autograd


def _remember(ctx: Any, input: Tensor, windows: tuple[Any, ...]) -> None:
    channels_last = prefers_channels_last(input)
    ctx.backward_arguments = (input.shape[2], input.shape[3], channels_last, *windows)


def _backward(ctx: Any, grad_output: Tensor) -> Tensor:
    return ops.avg_pool2d_backward.default(grad_output, *ctx.backward_arguments)


class AvgPool2dFunction(torch.autograd.Function):
    """avg_pool2d of a batched input, differentiable any number of times.

    Arguments as `cnnext.functional.avg_pool2d`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        windows = _windows(kernel_size, stride, padding, count_include_pad, divisor_override)
        if windows is None:
            raise ValueError("AvgPool2dFunction: not arguments that avg_pool2d has kernels for")
        size = _output_size(input, windows, ceil_mode)
        _remember(ctx, input, windows)
        return ops.avg_pool2d_forward.default(input, *size, *windows)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad_output), *(None,) * 6


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, _, _, *windows = inputs
    _remember(ctx, input, tuple(windows))


def _backward_of_op(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    return _backward(ctx, grad_output), *(None,) * 10


register_autograd("avg_pool2d", _backward_of_op, _setup_context)
differentiate_backward(
    "avg_pool2d",
    lambda grad_output, h_in, w_in, channels_last, *windows: (*grad_output.shape[2:], *windows),
)

# ----------------------------------------------------------------------------------- function


def _windows(
    kernel_size: Any, stride: Any, padding: Any, count_include_pad: Any, divisor_override: Any
) -> Windows | None:
    """The windows, or None if these are no arguments that kernels take."""
    no_stride = stride is None or (isinstance(stride, tuple | list) and len(stride) == 0)
    kernel, pad = as_pair(kernel_size), as_pair(padding)
    step = kernel if no_stride else as_pair(stride)
    if kernel is None or step is None or pad is None or not isinstance(count_include_pad, bool):
        return None
    if 0 in kernel or 0 in step or pad[0] > kernel[0] // 2 or pad[1] > kernel[1] // 2:
        return None
    divisor = 0 if divisor_override is None else _divisor(divisor_override)
    return None if divisor is None else (*kernel, *step, *pad, count_include_pad, divisor)


def _divisor(divisor_override: Any) -> int | None:
    """The divisor, or None for native to judge: zero, no integer, or a bool, also in a tensor."""
    tensor = isinstance(divisor_override, Tensor)
    if tensor and (divisor_override.dim() > 0 or divisor_override.dtype == torch.bool):
        return None
    try:
        divisor = operator.index(divisor_override)
    except TypeError:
        return None
    if isinstance(divisor_override, bool) or not 0 < abs(divisor) < 2**63:
        return None
    return divisor


def _output_size(input: Tensor, windows: Windows, ceil_mode: bool) -> Pair:
    k_h, k_w, stride_h, stride_w, pad_h, pad_w, *_ = windows
    return (
        output_extent(input.shape[2], k_h, stride_h, pad_h, 1, ceil_mode),
        output_extent(input.shape[3], k_w, stride_w, pad_w, 1, ceil_mode),
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means of 2-D windows, as `torch.nn.functional.avg_pool2d`.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        kernel_size, padding: pixels, an int or (vertical, horizontal); padding is at most half of
            kernel_size and counts as zero.
        stride: pixels; None means kernel_size.
        ceil_mode: round the output size up instead of down; what that adds beyond the padding is
            never counted.
        count_include_pad: whether the number of elements that a sum is divided by counts padding.
        divisor_override: divide by this instead; not 0.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    reason = fallback_reason("avg_pool2d", input)
    if reason is not None:
        return call_native(
            avg_pool2d, reason, native_avg_pool2d, input, kernel_size, stride, padding, ceil_mode,
            count_include_pad, divisor_override,
        )  # fmt: skip
    windows = _windows(kernel_size, stride, padding, count_include_pad, divisor_override)
    if windows is not None and isinstance(ceil_mode, bool) and is_image(input):
        images = input if input.dim() == 4 else as_batch(input)
        size = _output_size(images, windows, ceil_mode)
        if size[0] > 0 and size[1] > 0:
            output = _averages(images, size, windows, ceil_mode)
            return output if input.dim() == 4 else without_batch(output)
    return delegate_to_native(
        "avg_pool2d",
        native_avg_pool2d,
        input,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


def _averages(input: Tensor, size: Pair, windows: Windows, ceil_mode: bool) -> Tensor:
    if torch.compiler.is_compiling():
        return ops.avg_pool2d.default(input, *size, *windows)
    if gradient_needed(input):
        kernel, stride, padding = windows[0:2], windows[2:4], windows[4:6]
        counts_padding, divisor = windows[6:]
        return AvgPool2dFunction.apply(
            input, kernel, stride, padding, ceil_mode, counts_padding, divisor or None
        )
    return direct.avg_pool2d_forward(input, *size, *windows)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.AvgPool2d)


@_native.drop_in
class AvgPool2d(torch.nn.AvgPool2d, metaclass=ABCMeta):
    """`torch.nn.AvgPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.avg_pool2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_avg_pool2d(
                input,
                self.kernel_size,
                self.stride,
                self.padding,
                self.ceil_mode,
                self.count_include_pad,
                self.divisor_override,
            )
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


AVG_POOL2D = declare(
    Operator(
        name="avg_pool2d",
        function=avg_pool2d,
        native=torch.nn.functional.avg_pool2d,
        module=AvgPool2d,
        autograd=AvgPool2dFunction,
        raw=("avg_pool2d", "avg_pool2d_backward", "avg_pool2d_forward"),
        kernels="avg_pool2d",
        cuda=CudaRule("native", "ATen moves as many bytes"),
    )
)

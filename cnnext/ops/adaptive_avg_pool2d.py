"""adaptive_avg_pool2d: the function and `torch.nn.AdaptiveAvgPool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d as native_adaptive_avg_pool2d

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    IntOrSize,
    Pair,
    adaptive_size,
    as_batch,
    delegate_to_native,
    differentiate_backward,
    empty_in_layout,
    prefers_channels_last,
    without_batch,
)
from cnnext.runtime.fallback import call_native, fallback_reason, gradient_needed, is_scripting
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("adaptive_avg_pool2d", "adaptive_avg_pool2d_forward")
def _fake_forward(input: Tensor, h_out: int, w_out: int) -> Tensor:
    size = (input.shape[0], input.shape[1], h_out, w_out)
    return empty_in_layout(input, size, prefers_channels_last(input))


@register_fake("adaptive_avg_pool2d_backward")
def _fake_backward(grad_output: Tensor, h_in: int, w_in: int, channels_last: bool) -> Tensor:
    size = (grad_output.shape[0], grad_output.shape[1], h_in, w_in)
    return empty_in_layout(grad_output, size, channels_last)


# ----------------------------------------------------------------------------------- autograd


def _remember(ctx: Any, input: Tensor) -> None:
    ctx.backward_arguments = (input.shape[2], input.shape[3], prefers_channels_last(input))


def _backward(ctx: Any, grad_output: Tensor) -> Tensor:
    return ops.adaptive_avg_pool2d_backward.default(grad_output, *ctx.backward_arguments)


class AdaptiveAvgPool2dFunction(torch.autograd.Function):
    """adaptive_avg_pool2d of a batched input to an output of (height, width) `size`.

    Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: Pair) -> Tensor:
        _remember(ctx, input)
        return ops.adaptive_avg_pool2d_forward.default(input, *size)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad_output), None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _remember(ctx, inputs[0])


def _backward_of_op(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    return _backward(ctx, grad_output), None, None


register_autograd("adaptive_avg_pool2d", _backward_of_op, _setup_context)
differentiate_backward("adaptive_avg_pool2d", lambda grad_output, *_: (*grad_output.shape[2:],))

# ----------------------------------------------------------------------------------- function


def adaptive_avg_pool2d(input: Tensor, output_size: IntOrSize) -> Tensor:
    """Means of a given number of 2-D windows, as `torch.nn.functional.adaptive_avg_pool2d`.

    Window i of n along an axis of m pixels is those from floor(i m / n) up to ceil((i + 1) m / n).

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        output_size: an int or (H_out, W_out); None in a place keeps the size of the input.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    reason = fallback_reason("adaptive_avg_pool2d", input)
    if reason is not None:
        return call_native(
            adaptive_avg_pool2d, reason, native_adaptive_avg_pool2d, input, output_size
        )
    size = adaptive_size(input, output_size)
    if size is None:
        return delegate_to_native(
            "adaptive_avg_pool2d", native_adaptive_avg_pool2d, input, output_size=output_size
        )
    if input.dim() == 3:
        return without_batch(_averages(as_batch(input), size))
    return _averages(input, size)


def _averages(input: Tensor, size: Pair) -> Tensor:
    if torch.compiler.is_compiling():
        return ops.adaptive_avg_pool2d.default(input, *size)
    if gradient_needed(input):
        return AdaptiveAvgPool2dFunction.apply(input, size)
    return direct.adaptive_avg_pool2d_forward(input, *size)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.AdaptiveAvgPool2d)


@_native.drop_in
class AdaptiveAvgPool2d(torch.nn.AdaptiveAvgPool2d, metaclass=ABCMeta):
    """`torch.nn.AdaptiveAvgPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.adaptive_avg_pool2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_adaptive_avg_pool2d(input, self.output_size)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return adaptive_avg_pool2d(input, self.output_size)


ADAPTIVE_AVG_POOL2D = declare(
    Operator(
        name="adaptive_avg_pool2d",
        function=adaptive_avg_pool2d,
        native=torch.nn.functional.adaptive_avg_pool2d,
        module=AdaptiveAvgPool2d,
        autograd=AdaptiveAvgPool2dFunction,
        raw=("adaptive_avg_pool2d", "adaptive_avg_pool2d_backward", "adaptive_avg_pool2d_forward"),
        kernels="adaptive_avg_pool2d",
        cuda=CudaRule("native", "ATen adds up a large window with many threads"),
    )
)

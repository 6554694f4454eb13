"""adaptive_max_pool2d: the function and `torch.nn.AdaptiveMaxPool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d as native_adaptive_max_pool2d

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    IntOrSize,
    Pair,
    adaptive_size,
    as_batch,
    delegate_to_native,
    empty_in_layout,
    may_need_gradient,
    prefers_channels_last,
    scatter_to_planes,
    without_batch,
)
from cnnext.runtime.fallback import call_native, fallback_reason, is_scripting
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("adaptive_max_pool2d", "adaptive_max_pool2d_forward")
def _fake_forward(input: Tensor, h_out: int, w_out: int, record: bool) -> tuple[Tensor, Tensor]:
    size = (input.shape[0], input.shape[1], h_out, w_out)
    output = empty_in_layout(input, size, prefers_channels_last(input))
    if record:
        return output, torch.empty_like(output, dtype=torch.int64)
    return output, input.new_empty((0,), dtype=torch.int64)


@register_fake("adaptive_max_pool2d_backward")
def _fake_backward(grad_output: Tensor, indices: Tensor, h_in: int, w_in: int) -> Tensor:
    size = (indices.shape[0], indices.shape[1], h_in, w_in)
    return empty_in_layout(grad_output, size, prefers_channels_last(indices))


# ----------------------------------------------------------------------------------- autograd


def _remember(ctx: Any, input: Tensor, indices: Tensor) -> None:
    ctx.size = (input.shape[2], input.shape[3])
    ctx.mark_non_differentiable(indices)
    ctx.save_for_backward(indices)


def _backward(ctx: Any, grad_output: Tensor) -> Tensor:
    (indices,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        return scatter_to_planes(grad_output, indices, ctx.size)
    return ops.adaptive_max_pool2d_backward.default(grad_output, indices, *ctx.size)


class AdaptiveMaxPool2dFunction(torch.autograd.Function):
    """adaptive_max_pool2d of a batched input to an output of (height, width) `size`.

    Returns (output, indices). Twice differentiable.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: Pair) -> tuple[Tensor, Tensor]:
        output, indices = ops.adaptive_max_pool2d_forward.default(input, *size, True)
        _remember(ctx, input, indices)
        return output, indices

    @staticmethod
    def backward(
        ctx: Any, grad_output: Tensor, grad_indices: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad_output), None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _remember(ctx, inputs[0], output[1])


def _backward_of_op(ctx: Any, grad_output: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    return _backward(ctx, grad_output), None, None, None


register_autograd("adaptive_max_pool2d", _backward_of_op, _setup_context)

# ----------------------------------------------------------------------------------- function


def adaptive_max_pool2d(input: Tensor, output_size: IntOrSize, return_indices: bool = False) -> Any:
    """Maxima of a given number of 2-D windows, as `torch.nn.functional.adaptive_max_pool2d`.

    Window i of n along an axis of m pixels is those from floor(i m / n) up to ceil((i + 1) m / n).
    NaN wins over every number; of equal maxima the first in row-major order is the one indexed.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        output_size: an int or (H_out, W_out); None in a place keeps the size of the input.
        return_indices: also return the int64 position of each maximum in its plane.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input; with
        `return_indices` a tuple of that and the indices.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    reason = fallback_reason("adaptive_max_pool2d", input)
    if reason is not None:
        return call_native(
            adaptive_max_pool2d,
            reason,
            native_adaptive_max_pool2d,
            input,
            output_size,
            return_indices,
        )
    return_indices = bool(return_indices)  # as torch.nn.functional, which asks no more of it
    size = adaptive_size(input, output_size)
    if size is None:
        return delegate_to_native(
            "adaptive_max_pool2d",
            native_adaptive_max_pool2d,
            input,
            output_size=output_size,
            return_indices=return_indices,
        )
    if input.dim() == 3:
        output, indices = _maxima(as_batch(input), size, return_indices)
        output = without_batch(output)
        return (output, without_batch(indices)) if return_indices else output
    output, indices = _maxima(input, size, return_indices)
    return (output, indices) if return_indices else output


def _maxima(input: Tensor, size: Pair, return_indices: bool) -> tuple[Tensor, Tensor]:
    need_gradient = may_need_gradient(input)
    if torch.compiler.is_compiling():
        return ops.adaptive_max_pool2d.default(input, *size, need_gradient or return_indices)
    if need_gradient:
        return AdaptiveMaxPool2dFunction.apply(input, size)
    return direct.adaptive_max_pool2d_forward(input, *size, return_indices)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.AdaptiveMaxPool2d)


@_native.drop_in
class AdaptiveMaxPool2d(torch.nn.AdaptiveMaxPool2d, metaclass=ABCMeta):
    """`torch.nn.AdaptiveMaxPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.adaptive_max_pool2d`.
    """

    # TorchScript wants the exact type of the result, or none, and it depends on return_indices.
    @no_type_check
    def forward(self, input: Tensor):
        if is_scripting():
            return native_adaptive_max_pool2d(input, self.output_size, self.return_indices)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return adaptive_max_pool2d(input, self.output_size, self.return_indices)


ADAPTIVE_MAX_POOL2D = declare(
    Operator(
        name="adaptive_max_pool2d",
        function=adaptive_max_pool2d,
        native=torch.nn.functional.adaptive_max_pool2d,
        module=AdaptiveMaxPool2d,
        autograd=AdaptiveMaxPool2dFunction,
        raw=("adaptive_max_pool2d", "adaptive_max_pool2d_backward", "adaptive_max_pool2d_forward"),
        kernels="adaptive_max_pool2d",
        cuda=CudaRule("native", "ATen searches a large window with many threads"),
    )
)

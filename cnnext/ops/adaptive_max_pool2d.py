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
    adaptive_size,
    as_batch,
    empty_in_layout,
    may_need_gradient,
    prefers_channels_last,
    scatter_to_planes,
    without_batch,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
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


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, indices = inputs[0], output[1]
    ctx.size = (input.shape[2], input.shape[3])
    ctx.mark_non_differentiable(indices)
    ctx.save_for_backward(indices)


def _backward(ctx: Any, grad_output: Tensor, _: Tensor | None) -> tuple[Tensor]:
    (indices,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        return (scatter_to_planes(grad_output, indices, ctx.size),)
    return (ops.adaptive_max_pool2d_backward.default(grad_output, indices, *ctx.size),)


_Recorded: Any = register_autograd("adaptive_max_pool2d", _backward, _save)


class AdaptiveMaxPool2dFunction(_Recorded):
    """adaptive_max_pool2d of a batched input to an output of (height, width) `size`.

    Returns (output, indices). Twice differentiable.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return _Recorded.forward(ctx, input, *size, True)


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
    return launch(ADAPTIVE_MAX_POOL2D, (input,), output_size, return_indices)


def check(input: Tensor, output_size: IntOrSize, return_indices: Any) -> Checked:
    size = adaptive_size(input, output_size)
    return None if size is None else (as_batch(input), *size, bool(return_indices))


def _compiled(input: Tensor, h_out: int, w_out: int, return_indices: bool) -> Any:
    record = may_need_gradient(input) or return_indices
    results = ops.adaptive_max_pool2d.default(input, h_out, w_out, record)
    return results if return_indices else results[0]


def _recorded(input: Tensor, h_out: int, w_out: int, return_indices: bool) -> Any:
    results = _Recorded.apply(input, h_out, w_out, True)
    return results if return_indices else results[0]


def _direct(input: Tensor, h_out: int, w_out: int, return_indices: bool) -> Any:
    results = direct.adaptive_max_pool2d_forward(input, h_out, w_out, return_indices)
    return results if return_indices else results[0]


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
        native=native_adaptive_max_pool2d,
        module=AdaptiveMaxPool2d,
        autograd=AdaptiveMaxPool2dFunction,
        raw=("adaptive_max_pool2d", "adaptive_max_pool2d_backward", "adaptive_max_pool2d_forward"),
        kernels="adaptive_max_pool2d",
        check=check,
        compiled=_compiled,
        recorded=_recorded,
        direct=_direct,
        unbatched=without_batch,
        cuda=CudaRule("native", "ATen searches a large window with many threads"),
    )
)

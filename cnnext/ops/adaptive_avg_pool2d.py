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
    adaptive_size,
    as_batch,
    differentiate_backward,
    empty_in_layout,
    prefers_channels_last,
    without_batch,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
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


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input = inputs[0]
    ctx.backward_arguments = (input.shape[2], input.shape[3], prefers_channels_last(input))


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
    return (ops.adaptive_avg_pool2d_backward.default(grad_output, *ctx.backward_arguments),)


_Recorded: Any = register_autograd("adaptive_avg_pool2d", _backward, _save)
differentiate_backward("adaptive_avg_pool2d", lambda grad_output, *_: (*grad_output.shape[2:],))


class AdaptiveAvgPool2dFunction(_Recorded):
    """adaptive_avg_pool2d of a batched input to an output of (height, width) `size`.

    Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: tuple[int, int]) -> Tensor:
        return _Recorded.forward(ctx, input, *size)


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
    return launch(ADAPTIVE_AVG_POOL2D, (input,), output_size)


def _check(input: Tensor, output_size: IntOrSize) -> Checked:
    size = adaptive_size(input, output_size)
    return None if size is None else (as_batch(input), *size)


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
        native=native_adaptive_avg_pool2d,
        module=AdaptiveAvgPool2d,
        autograd=AdaptiveAvgPool2dFunction,
        raw=("adaptive_avg_pool2d", "adaptive_avg_pool2d_backward", "adaptive_avg_pool2d_forward"),
        kernels="adaptive_avg_pool2d",
        check=_check,
        compiled=ops.adaptive_avg_pool2d.default,
        recorded=_Recorded.apply,
        direct=direct.adaptive_avg_pool2d_forward,
        unbatched=without_batch,
        cuda=CudaRule("native", "ATen adds up a large window with many threads"),
    )
)

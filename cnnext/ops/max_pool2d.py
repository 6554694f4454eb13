"""max_pool2d: `torch.nn.functional.max_pool2d` and `torch.nn.MaxPool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.nn.functional import max_pool2d as native_max_pool2d

from cnnext.ops.common.arguments import IntOrPair, shape_of
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    Pair,
    Windows,
    as_batch,
    may_need_gradient,
    pooled_size,
    scatter_to_planes,
    window_geometry,
    without_batch,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("max_pool2d", "max_pool2d_forward")
def _fake_forward(
    input: Tensor, h_out: int, w_out: int, k_h: int, k_w: int, *rest: Any
) -> tuple[Tensor, Tensor]:
    layout = suggest_memory_format(input)
    size = (input.shape[0], input.shape[1], h_out, w_out)
    where_dtype = torch.uint8 if k_h * k_w <= 256 else torch.int64
    where_size = size if rest[-1] else (0,)
    where = input.new_empty(where_size, dtype=where_dtype)
    if rest[-1]:
        where = where.to(memory_format=layout)
    return input.new_empty(size).to(memory_format=layout), where


@register_fake("max_pool2d_backward")
def _fake_backward(
    grad_output: Tensor, where: Tensor, h_in: int, w_in: int, *geometry: int
) -> Tensor:
    grad_input = grad_output.new_empty((where.shape[0], where.shape[1], h_in, w_in))
    return grad_input.to(memory_format=suggest_memory_format(where))


@register_fake("max_pool2d_indices")
def _fake_indices(where: Tensor, h_in: int, w_in: int, *geometry: int) -> Tensor:
    indices = where.new_empty(where.shape, dtype=torch.int64)
    return indices.to(memory_format=suggest_memory_format(where))


# ----------------------------------------------------------------------------------- autograd


def positions(where: Tensor, size: Sequence[int], geometry: tuple[int, ...]) -> Tensor:
    """Positions in the plane (int64), as torch returns them."""
    if where.dtype == torch.int64:
        return where
    return ops.max_pool2d_indices.default(where, *size, *geometry)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, _, _, *geometry, _ = inputs
    ctx.size, ctx.geometry = (input.shape[2], input.shape[3]), tuple(geometry)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _backward(ctx: Any, grad_output: Tensor, _: Tensor | None = None) -> tuple[Tensor]:
    (where,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        indices = positions(where, ctx.size, ctx.geometry)
        return (scatter_to_planes(grad_output, indices, ctx.size),)
    return (ops.max_pool2d_backward.default(grad_output, where, *ctx.size, *ctx.geometry),)


def _forward(ctx: Any, input: Tensor, size: Pair, geometry: Windows, return_indices: bool) -> Any:
    ctx.size, ctx.geometry = (input.shape[2], input.shape[3]), geometry
    output, where = ops.max_pool2d_forward.default(input, *size, *geometry, True)
    if not return_indices:
        ctx.save_for_backward(where)
        return output
    indices = positions(where, ctx.size, geometry)
    ctx.mark_non_differentiable(indices)
    ctx.save_for_backward(indices)  # so that autograd notices if they are written to
    return output, indices


_Recorded: Any = register_autograd("max_pool2d", _backward, _save, _forward)


class MaxPool2dFunction(_Recorded):
    """max_pool2d of a batched input.

    Arguments as `cnnext.functional.max_pool2d`; returns (output, indices) if `return_indices`, else
    output. Twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        checked = check(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        if not isinstance(checked, tuple):
            raise ValueError(
                f"MaxPool2dFunction: there are no kernels for input.shape={shape_of(input)}, "
                f"{kernel_size=}, {stride=}, {padding=}, {dilation=}, {ceil_mode=}"
            )
        return _Recorded.forward(ctx, *checked)


# ----------------------------------------------------------------------------------- function


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of 2-D windows, as `torch.nn.functional.max_pool2d`.

    NaN wins over every number; of equal maxima the first in row-major order is the one indexed.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        kernel_size, padding, dilation: pixels, an int or (vertical, horizontal); padding is at most
            half of kernel_size and counts as minus infinity.
        stride: pixels; None means kernel_size.
        ceil_mode: round the output size up instead of down.
        return_indices: also return the int64 position of each maximum in its plane.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input; with
        `return_indices` a tuple of that and the indices.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(
        MAX_POOL2D, (input,), kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def check(
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
) -> Checked:
    shape, geometry = input.shape, window_geometry(kernel_size, stride, padding, dilation)
    if geometry is None or len(shape) not in (3, 4) or 0 in shape:
        return None
    size = pooled_size(shape[-2], shape[-1], geometry, ceil_mode)
    if size is None:
        return None
    if _window_may_miss(input, geometry):
        reason = (
            f"dilation={geometry[6:]} exceeds the input's {shape[-2]} x {shape[-1]} pixels, "
            "so that a padded window may hold none of them"
        )
        return without_gradient("max_pool2d", input, reason, geometry[4:6])
    return as_batch(input), size, geometry, bool(return_indices)


def without_gradient(op: str, input: Tensor, reason: str, padding: Any) -> str:
    """The reason why native computes; if a gradient is wanted, it would write outside of memory."""
    if may_need_gradient(input):
        raise RuntimeError(
            f"{op}(): there is no gradient, since {reason}; "
            f"got input.shape={shape_of(input)}, padding={padding}"
        )
    return reason


def _window_may_miss(input: Tensor, geometry: Windows) -> bool:
    """Whether there may be a window with no position inside the input."""
    *_, pad_h, pad_w, dilation_h, dilation_w = geometry
    height, width = input.shape[-2:]
    return (pad_h > 0 and dilation_h > height) or (pad_w > 0 and dilation_w > width)


def _compiled(input: Tensor, size: Pair, geometry: Windows, return_indices: bool) -> Any:
    record = may_need_gradient(input) or return_indices
    output, where = ops.max_pool2d.default(input, *size, *geometry, record)
    return (output, positions(where, input.shape[2:], geometry)) if return_indices else output


def _direct(input: Tensor, size: Pair, geometry: Windows, return_indices: bool) -> Any:
    output, where = direct.max_pool2d_forward(input, *size, *geometry, return_indices)
    return (output, positions(where, input.shape[2:], geometry)) if return_indices else output


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.MaxPool2d)


@_native.drop_in
class MaxPool2d(torch.nn.MaxPool2d, metaclass=ABCMeta):
    """`torch.nn.MaxPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.max_pool2d`.
    """

    # TorchScript wants the exact type of the result, or none, and it depends on return_indices.
    @no_type_check
    def forward(self, input: Tensor):
        if is_scripting():
            return native_max_pool2d(
                input,
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                ceil_mode=self.ceil_mode,
                return_indices=self.return_indices,
            )
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


MAX_POOL2D = declare(
    Operator(
        name="max_pool2d",
        function=max_pool2d,
        native=native_max_pool2d,
        module=MaxPool2d,
        autograd=MaxPool2dFunction,
        raw=("max_pool2d", "max_pool2d_backward", "max_pool2d_forward", "max_pool2d_indices"),
        kernels="max_pool2d",
        check=check,
        compiled=_compiled,
        recorded=_Recorded.apply,
        direct=_direct,
        unbatched=without_batch,
        cuda=CudaRule("own", "one byte is recorded for each maximum instead of eight"),
    )
)

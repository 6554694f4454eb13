"""max_pool2d: `torch.nn.functional.max_pool2d` and `torch.nn.MaxPool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.nn.functional import max_pool2d as native_max_pool2d

from cnnext.ops.common.arguments import IntOrPair, check_positive, int_pairs, shape_of
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    Pair,
    as_batch,
    may_need_gradient,
    output_extent,
    scatter_to_planes,
    without_batch,
)
from cnnext.runtime.fallback import call_native, fallback_reason, is_scripting
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
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


def positions(where: Tensor, size: Pair, geometry: tuple[int, ...]) -> Tensor:
    """Positions in the plane (int64), as torch returns them."""
    if where.dtype == torch.int64:
        return where
    return ops.max_pool2d_indices.default(where, *size, *geometry)


def _backward(ctx: Any, grad_output: Tensor) -> Tensor:
    (where,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        indices = positions(where, ctx.size, ctx.geometry)
        return scatter_to_planes(grad_output, indices, ctx.size)
    return ops.max_pool2d_backward.default(grad_output, where, *ctx.size, *ctx.geometry)


class MaxPool2dFunction(torch.autograd.Function):
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
        geometry = window_geometry(kernel_size, stride, padding, dilation)
        ctx.size = (input.shape[2], input.shape[3])
        ctx.geometry = geometry
        output, where = ops.max_pool2d_forward.default(
            input, *pooled_size(input, geometry, ceil_mode), *geometry, True
        )
        if not return_indices:
            ctx.save_for_backward(where)
            return output
        indices = positions(where, ctx.size, geometry)
        ctx.mark_non_differentiable(indices)
        ctx.save_for_backward(indices)  # so that autograd notices if they are written to
        return output, indices

    @staticmethod
    def backward(
        ctx: Any, grad_output: Tensor, grad_indices: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad_output), None, None, None, None, None, None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, _, _, *geometry, _ = inputs
    ctx.size = (input.shape[2], input.shape[3])
    ctx.geometry = tuple(geometry)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _backward_of_op(ctx: Any, grad_output: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    return _backward(ctx, grad_output), *(None,) * 11


register_autograd("max_pool2d", _backward_of_op, _setup_context)

# ----------------------------------------------------------------------------------- function


def window_geometry(
    kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[int, int, int, int, int, int, int, int]:
    """k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w; all checked."""
    no_stride = stride is None or (isinstance(stride, tuple | list) and len(stride) == 0)
    kernel, step, pad, dilation = int_pairs(
        "max_pool2d",
        kernel_size=kernel_size,
        stride=kernel_size if no_stride else stride,
        padding=padding,
        dilation=dilation,
    )
    if max(*kernel, *step, *pad, *dilation) >= 2**31:
        raise RuntimeError(
            "max_pool2d(): value cannot be converted to type int without overflow; "
            "kernel_size, stride, padding and dilation must fit 32 bits, but got "
            f"{kernel}, {step}, {pad} and {dilation}"
        )
    if 0 in step:
        raise RuntimeError(
            f"max_pool2d(): stride should not be zero, but got stride={step} and "
            f"kernel_size={kernel}, which is the default of stride"
        )
    check_positive("max_pool2d", "kernel_size", kernel, "kernel size")
    check_positive("max_pool2d", "stride", step)
    check_positive("max_pool2d", "dilation", dilation)
    if pad[0] < 0 or pad[1] < 0:
        raise RuntimeError(f"max_pool2d(): pad must be non-negative, but got padding={pad}")
    if pad[0] > kernel[0] // 2 or pad[1] > kernel[1] // 2:
        extent = [(kernel[axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
        effective = pad[0] > extent[0] // 2 or pad[1] > extent[1] // 2
        limit = "at most half of effective" if effective else "smaller than or equal to half of"
        raise RuntimeError(
            f"max_pool2d(): pad should be {limit} kernel size, "
            f"but got padding={pad}, kernel_size={kernel} and dilation={dilation}"
        )
    return *kernel, *step, *pad, *dilation


def pooled_size(input: Tensor, geometry: tuple[int, ...], ceil_mode: bool) -> Pair:
    k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w = geometry
    h = output_extent(input.shape[2], k_h, stride_h, pad_h, dilation_h, ceil_mode)
    w = output_extent(input.shape[3], k_w, stride_w, pad_w, dilation_w, ceil_mode)
    if h <= 0 or w <= 0:
        size = "x".join(map(str, input.shape[1:]))
        raise RuntimeError(
            f"max_pool2d(): Given input size: ({size}). Calculated output size: "
            f"({input.shape[1]}x{h}x{w}). Output size is too small; got kernel_size={(k_h, k_w)}, "
            f"padding={(pad_h, pad_w)}, dilation={(dilation_h, dilation_w)}"
        )
    return h, w


def _window_may_miss(input: Tensor, geometry: tuple[int, ...]) -> bool:
    """Whether there may be a window with no position inside the input."""
    *_, pad_h, pad_w, dilation_h, dilation_w = geometry
    return (pad_h > 0 and dilation_h > input.shape[2]) or (
        pad_w > 0 and dilation_w > input.shape[3]
    )


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
    window: tuple[Any, ...] = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    reason = fallback_reason("max_pool2d", input)
    if reason is not None:
        return call_native(max_pool2d, reason, native_max_pool2d, input, *window)
    if not isinstance(ceil_mode, bool):
        raise TypeError(f"max_pool2d(): ceil_mode must be a bool, but got ceil_mode={ceil_mode!r}")
    return_indices = bool(return_indices)  # as torch.nn.functional, which asks no more of it
    if 0 in input.shape:  # nothing to compute, everything to check
        return native_max_pool2d(input, *window)

    if input.dim() == 3:
        result = max_pool2d(as_batch(input), *window)
        return tuple(map(without_batch, result)) if return_indices else without_batch(result)
    geometry = window_geometry(kernel_size, stride, padding, dilation)
    if input.dim() != 4:
        raise RuntimeError(
            "max_pool2d(): non-empty 3D or 4D (batch mode) tensor expected for input, "
            f"but got input.shape={shape_of(input)}"
        )
    size = pooled_size(input, geometry, ceil_mode)
    need_gradient = may_need_gradient(input)
    if _window_may_miss(input, geometry):
        reason = "dilation steps over the whole input, so that a window may hold nothing of it"
        if need_gradient:  # native's gradient would write outside of its memory
            raise RuntimeError(
                f"max_pool2d(): there is no gradient, since {reason}: "
                f"input.shape={shape_of(input)}, padding={geometry[4:6]}, dilation={geometry[6:8]}"
            )
        return call_native(max_pool2d, reason, native_max_pool2d, input, *window)

    if torch.compiler.is_compiling():
        op = ops.max_pool2d.default
    elif need_gradient:
        return MaxPool2dFunction.apply(
            input, geometry[0:2], geometry[2:4], geometry[4:6], geometry[6:8], ceil_mode,
            return_indices,
        )  # fmt: skip
    else:
        op = direct.max_pool2d_forward
    output, where = op(input, *size, *geometry, need_gradient or return_indices)
    if not return_indices:
        return output
    return output, positions(where, (input.shape[2], input.shape[3]), geometry)


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
        native=torch.nn.functional.max_pool2d,
        module=MaxPool2d,
        autograd=MaxPool2dFunction,
        raw=("max_pool2d", "max_pool2d_backward", "max_pool2d_forward", "max_pool2d_indices"),
        kernels="max_pool2d",
        cuda=CudaRule("own", "one byte is recorded for each maximum instead of eight"),
    )
)

"""conv_transpose2d: `torch.nn.functional.conv_transpose2d` and `torch.nn.ConvTranspose2d`.

A transposed convolution is the gradient of a convolution by its input, and that convolution is the
gradient of the transposed one. So conv2d's kernels compute it in both directions.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d as native_conv_transpose2d

from cnnext.ops.common.arguments import IntOrPair, as_int, int_pairs
from cnnext.ops.common.convolution import (
    Gradients,
    Pair,
    differentiable_gradients,
    in_layout,
    layout_of,
    result_format,
)
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# Larger extents fit no memory, and native says what is wrong with them.
_MAX_EXTENT = 2**48


def _least_size(input: Tensor, weight: Tensor, geometry: Sequence[int]) -> Pair:
    """(height, width) of the output without an output_padding."""
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, _ = geometry
    (h, w), (k_h, k_w) = input.shape[-2:], weight.shape[-2:]
    return (
        (h - 1) * stride_h - 2 * pad_h + dilation_h * (k_h - 1) + 1,
        (w - 1) * stride_w - 2 * pad_w + dilation_w * (k_w - 1) + 1,
    )


def _pairs(
    stride: IntOrPair, padding: IntOrPair, output_padding: IntOrPair, dilation: IntOrPair
) -> list[Pair]:
    return int_pairs(
        "conv_transpose2d",
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )


# -------------------------------------------------------------------------------- fake kernel


@register_fake("conv_transpose2d", "conv_transpose2d_forward")
def _fake(
    input: Tensor, weight: Tensor, bias: Tensor | None, h_out: int, w_out: int, *geometry: int
) -> Tensor:
    size = (input.shape[0], weight.shape[1] * geometry[-1], h_out, w_out)
    return input.new_empty(size).to(memory_format=result_format(input, weight))


# ----------------------------------------------------------------------------------- autograd


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.size, ctx.geometry, ctx.layout = inputs[3:5], inputs[5:], layout_of(output)


def _backward(ctx: Any, grad_output: Tensor) -> Gradients:
    input, weight = ctx.saved_tensors
    needed = (*ctx.needs_input_grad, False)[:3]  # bias is not given to all Functions
    geometry = ctx.geometry
    if torch.is_grad_enabled():
        (h_out, w_out), (least_h, least_w) = ctx.size, _least_size(input, weight, geometry)
        out_channels = weight.shape[1] * geometry[-1]
        output_padding = (h_out - least_h, w_out - least_w)
        return differentiable_gradients(
            grad_output, input, weight, out_channels, geometry, needed, output_padding
        )
    grad_input = grad_weight = grad_bias = None
    grad_output = in_layout(grad_output, ctx.layout)
    if needed[0]:
        grad_input = ops.conv2d_forward.default(grad_output, weight, None, *geometry)
        warn_once()
    if needed[1]:
        grad_weight = ops.conv2d_backward_weight.default(input, grad_output, weight, *geometry)
    if needed[2]:
        grad_bias = ops.conv2d_backward_bias.default(grad_output)
    return grad_input, grad_weight, grad_bias


_Recorded: Any = register_autograd("conv_transpose2d", _backward, _save)


class ConvTranspose2dFunction(_Recorded):
    """conv_transpose2d of a batched input; arguments as `cnnext.functional.conv_transpose2d`.

    Twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        dilation: IntOrPair = 1,
    ) -> Tensor:
        strides, pads, extra, dilations = _pairs(stride, padding, output_padding, dilation)
        geometry = (*strides, *pads, *dilations, groups)
        least_h, least_w = _least_size(input, weight, geometry)
        size = (least_h + extra[0], least_w + extra[1])
        return _Recorded.forward(ctx, input, weight, bias, *size, *geometry)


# ----------------------------------------------------------------------------------- function


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Tensor:
    """2-D transposed convolution, as `torch.nn.functional.conv_transpose2d`.

    Args:
        input: (N, C_in, H, W) or (C_in, H, W), float32 or float64 on the CPU (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        weight: (C_in, C_out / groups, K_h, K_w), of the same dtype.
        bias: (C_out,) or None.
        stride, dilation: pixels of the output, an int or (vertical, horizontal).
        padding: pixels that the output lacks on each side, an int or a pair.
        output_padding: pixels that it has more at the bottom and on the right, less than stride
            (native also computes what is less than dilation).
        groups: divides C_in and C_out.

    Returns:
        (N, C_out, H_out, W_out) or (C_out, H_out, W_out), channels_last if input or weight is, with
        H_out = (H - 1) stride - 2 padding + dilation (K_h - 1) + output_padding + 1.

    Raises:
        RuntimeError: shapes, dtypes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    options = (stride, padding, output_padding, groups, dilation)
    return launch(CONV_TRANSPOSE2D, (input, weight, bias), *options)


def _check(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrPair,
    padding: IntOrPair,
    output_padding: IntOrPair,
    groups: int,
    dilation: IntOrPair,
) -> Checked:
    if 0 in input.shape or 0 in weight.shape:
        return None
    if input.dim() == 3:
        input = input.unsqueeze(0)
    groups = as_int("conv_transpose2d", "groups", groups)
    strides, pads, extra, dilations = _pairs(stride, padding, output_padding, dilation)
    if input.dim() != 4 or weight.dim() != 4 or input.dtype != weight.dtype:
        return None
    if bias is not None and (
        bias.shape != (weight.shape[1] * groups,) or bias.dtype != input.dtype
    ):
        return None
    if min(*strides, *dilations, groups) <= 0 or min(*pads, *extra) < 0:
        return None
    if input.shape[1] != weight.shape[0] or input.shape[1] % groups:
        return None
    geometry = (*strides, *pads, *dilations, groups)
    least_h, least_w = _least_size(input, weight, geometry)
    h_out, w_out = least_h + extra[0], least_w + extra[1]
    if not (0 < h_out <= _MAX_EXTENT and 0 < w_out <= _MAX_EXTENT):
        return None
    if extra[0] >= strides[0] or extra[1] >= strides[1]:
        if extra[0] >= max(strides[0], dilations[0]) or extra[1] >= max(strides[1], dilations[1]):
            return None
        return f"output_padding={extra} is not less than stride={strides}"
    return input, weight, bias, h_out, w_out, *geometry


def _recorded(*arguments: Any) -> Tensor:
    output: Tensor = _Recorded.apply(*arguments)
    warn_once()
    return output


def _direct(*arguments: Any) -> Tensor:
    output: Tensor = direct.conv_transpose2d_forward(*arguments)
    warn_once()
    return output


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.ConvTranspose2d, "forward", "_output_padding", scriptable=False)


@_native.drop_in
class ConvTranspose2d(torch.nn.ConvTranspose2d, metaclass=ABCMeta):
    """`torch.nn.ConvTranspose2d` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (N, C_in, H, W) or (C_in, H, W); see `cnnext.functional.conv_transpose2d`.
    TorchScript compiles native's.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input, output_size)
        if self.padding_mode != "zeros" or not isinstance(self.padding, tuple):
            return super().forward(input, output_size)  # which says what is wrong with that
        geometry: Any = (self.stride, self.padding, self.kernel_size, 2, self.dilation)
        output_padding = self._output_padding(input, output_size, *geometry)
        options = (self.stride, self.padding, output_padding, self.groups, self.dilation)
        return launch(CONV_TRANSPOSE2D, (input, self.weight, self.bias), *options)


CONV_TRANSPOSE2D = declare(
    Operator(
        name="conv_transpose2d",
        function=conv_transpose2d,
        native=native_conv_transpose2d,
        module=ConvTranspose2d,
        autograd=ConvTranspose2dFunction,
        raw=("conv_transpose2d", "conv_transpose2d_forward"),
        optional=1,
        check=_check,
        compiled=ops.conv_transpose2d.default,
        recorded=_recorded,
        direct=_direct,
        unbatched=lambda output: output.squeeze(0),
        cuda=CudaRule("native", "cuDNN multiplies on tensor cores", has_kernels=False),
    )
)

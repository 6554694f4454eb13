"""conv2d: `torch.nn.functional.conv2d` and `torch.nn.Conv2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._prims_common import suggest_memory_format
from torch.nn.functional import conv2d as native_conv2d

from cnnext.ops.common.arguments import (
    IntOrPair,
    as_int,
    check_positive,
    int_pairs,
    shape_of,
)
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime import kept_filters
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.fallback import call_native, fallback_reason, gradient_needed, is_scripting
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

Pair = tuple[int, int]
Geometry = tuple[int, int, int, int, int, int, int]  # stride, padding, dilation: pairs; groups

# ------------------------------------------------------------------------------- fake kernels


def result_format(activation: Tensor, weight: Tensor) -> torch.memory_format:
    """channels_last if either operand is, as in ATen."""
    formats = (suggest_memory_format(activation), suggest_memory_format(weight))
    return torch.channels_last if torch.channels_last in formats else torch.contiguous_format


def _output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@register_fake("conv2d", "conv2d_forward")
def _fake_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
) -> Tensor:
    n, _, h, w = input.shape
    c_out, _, k_h, k_w = weight.shape
    size = (
        n,
        c_out,
        _output_size(h, k_h, stride_h, pad_h, dilation_h),
        _output_size(w, k_w, stride_w, pad_w, dilation_w),
    )
    return input.new_empty(size).to(memory_format=result_format(input, weight))


@register_fake("conv2d_backward_input")
def _fake_backward_input(
    grad_output: Tensor, weight: Tensor, h_in: int, w_in: int, *geometry: int
) -> Tensor:
    size = (grad_output.shape[0], weight.shape[1] * geometry[-1], h_in, w_in)
    return grad_output.new_empty(size).to(memory_format=result_format(grad_output, weight))


@register_fake("conv2d_backward_weight")
def _fake_backward_weight(
    grad_output: Tensor, input: Tensor, weight: Tensor, *geometry: int
) -> Tensor:
    return grad_output.new_empty(weight.shape).to(memory_format=result_format(input, weight))


@register_fake("conv2d_backward_bias")
def _fake_backward_bias(grad_output: Tensor) -> Tensor:
    return grad_output.new_empty(grad_output.shape[1])


# ----------------------------------------------------------------------------------- autograd


def layout_of(output: Tensor) -> torch.memory_format | None:
    """The layout that gradients have as well; None where both are the same."""
    nchw = output.is_contiguous()
    if nchw == output.is_contiguous(memory_format=torch.channels_last):
        return None
    return torch.contiguous_format if nchw else torch.channels_last


def gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    geometry: Geometry,
    layout: torch.memory_format | None,
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, weight and bias that are needed, of an output of this layout."""
    need_input, need_weight, need_bias = needed
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups = geometry
        return torch.ops.aten.convolution_backward.default(
            grad_output,
            input,
            weight,
            [weight.shape[0]],
            (stride_h, stride_w),
            (pad_h, pad_w),
            (dilation_h, dilation_w),
            False,
            (0, 0),
            groups,
            needed,
        )
    grad_input = grad_weight = grad_bias = None
    if layout is not None and not grad_output.is_contiguous(memory_format=layout):
        grad_output = grad_output.contiguous(memory_format=layout)
    if need_input:
        grad_input = ops.conv2d_backward_input.default(
            grad_output, weight, input.shape[2], input.shape[3], *geometry
        )
        warn_once()
    if need_weight:
        grad_weight = ops.conv2d_backward_weight.default(grad_output, input, weight, *geometry)
    if need_bias:
        grad_bias = ops.conv2d_backward_bias.default(grad_output)
    return grad_input, grad_weight, grad_bias


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    input, weight = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    return gradients(grad_output, input, weight, ctx.geometry, ctx.layout, needed)


class Conv2dFunction(torch.autograd.Function):
    """conv2d of a batched input; arguments as `cnnext.functional.conv2d`.

    `padding` is an int or a pair here. Twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        pairs = int_pairs("conv2d", stride=stride, padding=padding, dilation=dilation)
        ctx.geometry = (*pairs[0], *pairs[1], *pairs[2], groups)
        output = ops.conv2d_forward.default(input, weight, bias, *ctx.geometry)
        ctx.layout = layout_of(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return *_backward(ctx, grad_output), None, None, None, None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.geometry = inputs[3:]
    ctx.layout = layout_of(output)


def _backward_of_op(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(ctx, grad_output), *(None,) * 7


register_autograd("conv2d", _backward_of_op, _setup_context)

# ----------------------------------------------------------------------------------- function


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: str | IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """2-D convolution (cross-correlation), as `torch.nn.functional.conv2d`.

    Args:
        input: (N, C_in, H, W) or (C_in, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        weight: (C_out, C_in / groups, K_h, K_w), of the same dtype.
        bias: (C_out,) or None.
        stride, dilation: pixels, an int or (vertical, horizontal).
        padding: pixels, an int or a pair, or 'valid', or 'same' (stride 1 only).
        groups: divides C_in and C_out.

    Returns:
        (N, C_out, H_out, W_out) or (C_out, H_out, W_out), channels_last if input or weight is, with
        H_out = floor((H + 2 padding - dilation (K_h - 1) - 1) / stride) + 1.

    Raises:
        RuntimeError: shapes, dtypes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return _conv2d(None, input, weight, bias, stride, padding, dilation, groups)


def _conv2d(
    module: torch.nn.Module | None,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrPair,
    padding: str | IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Tensor:
    """`conv2d`, of a module that may keep its filter packed, or of none."""
    operands = (input, weight, bias)
    geometry: tuple[Any, ...] = (stride, padding, dilation, groups)
    reason = fallback_reason("conv2d", input, weight, optional=(bias,))
    if reason is not None:
        if module is not None and not torch.compiler.is_compiling():
            kept_filters.release(module)
        return call_native(conv2d, reason, native_conv2d, *operands, *geometry)
    if 0 in input.shape or 0 in weight.shape:  # nothing to compute, everything to check
        return native_conv2d(*operands, *geometry)

    if input.dim() == 3:
        return _conv2d(module, input.unsqueeze(0), weight, bias, *geometry).squeeze(0)
    if isinstance(padding, bytes):  # a string to native, too
        padding = padding.decode()
    if isinstance(padding, str):
        if bias is not None and bias.dtype != input.dtype:  # rejected for padding in pixels only
            reason = "bias has another dtype than input"
            return call_native(conv2d, reason, native_conv2d, *operands, *geometry)
        groups = as_int("conv2d", "groups", groups)
        stride, dilation = int_pairs("conv2d", stride=stride, dilation=dilation)
        _check_operands(input, weight, bias, stride, dilation, groups)
        input, padding = _pad_by_name(input, weight, stride, padding, dilation)
    steps = checked_geometry(input, weight, bias, stride, padding, dilation, groups)

    if torch.compiler.is_compiling():
        return ops.conv2d.default(input, weight, bias, *steps)
    if gradient_needed(input, weight, bias):
        if module is not None:
            kept_filters.release(module)
        output = Conv2dFunction.apply(
            input, weight, bias, steps[0:2], steps[2:4], steps[4:6], steps[6]
        )
    elif module is not None and kept_filters.applies(input, weight):
        owner, version = kept_filters.owner_of(module), kept_filters.version_of(weight)
        output = direct.conv2d_keeping(input, weight, bias, *steps, owner, version)
    else:
        output = direct.conv2d_forward(input, weight, bias, *steps)
    warn_once()
    return output


def checked_geometry(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrPair,
    padding: IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Geometry:
    """What the operators take after the operands of a batched call, all of it checked."""
    groups = as_int("conv2d", "groups", groups)
    stride, padding, dilation = int_pairs(
        "conv2d", stride=stride, padding=padding, dilation=dilation
    )
    if min(padding) < 0:
        raise RuntimeError(
            f"conv2d(): negative padding is not supported, but got padding={padding}"
        )
    if not _fits(input, weight, bias, stride, padding, dilation, groups):
        _check_operands(input, weight, bias, stride, dilation, groups)
        _check_extent(input, weight, padding, dilation)
        _check_weight_dtype(input, weight)
    return *stride, *padding, *dilation, groups


def _fits(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> bool:
    """Whether the checks below all pass: asked one by one they take as long as a small call."""
    size, filters = input.shape, weight.shape
    if len(size) != 4 or len(filters) != 4 or input.dtype != weight.dtype or groups <= 0:
        return False
    c_out, c_in, k_h, k_w = filters
    if bias is not None and (bias.shape != (c_out,) or bias.dtype != input.dtype):
        return False
    return (
        c_out % groups == 0
        and size[1] == c_in * groups
        and min(*stride, *dilation) > 0
        and size[2] + 2 * padding[0] > dilation[0] * (k_h - 1)
        and size[3] + 2 * padding[1] > dilation[1] * (k_w - 1)
    )


def _check_operands(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, dilation: Pair, groups: int
) -> None:
    if input.dim() != 4:
        raise RuntimeError(
            "conv2d(): Expected 3D (unbatched) or 4D (batched) input to conv2d, "
            f"but got input of size: {shape_of(input)}"
        )
    if weight.dim() != 4:
        raise RuntimeError(
            f"conv2d(): Expected {weight.dim()}-dimensional input for {weight.dim()}-dimensional "
            f"weight {shape_of(weight)}, but got {input.dim()}-dimensional input of size "
            f"{shape_of(input)} instead"
        )
    if bias is not None and bias.dtype != input.dtype:
        raise _dtype_error("bias", _cpp_name(input), _cpp_name(bias), input, bias)
    check_positive("conv2d", "stride", stride)
    check_positive("conv2d", "dilation", dilation)
    if groups <= 0:
        raise RuntimeError(
            f"conv2d(): non-positive groups is not supported, but got groups={groups}"
        )
    if weight.shape[0] % groups != 0:
        need = f"at least {groups}" if weight.shape[0] < groups else f"divisible by {groups}"
        raise RuntimeError(
            f"conv2d(): Given groups={groups}, expected weight to be {need} at dimension 0, "
            f"but got weight of size {shape_of(weight)} instead"
        )
    if input.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"conv2d(): Given groups={groups}, weight of size {shape_of(weight)}, expected "
            f"input{shape_of(input)} to have {weight.shape[1] * groups} channels, "
            f"but got {input.shape[1]} channels instead"
        )
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != weight.shape[0]):
        raise RuntimeError(
            f"conv2d(): Given weight of size {shape_of(weight)}, expected bias to be 1-dimensional "
            f"with {weight.shape[0]} elements, but got bias of size {shape_of(bias)} instead"
        )


def _pad_by_name(
    input: Tensor, weight: Tensor, stride: Pair, padding: str, dilation: Pair
) -> tuple[Tensor, Pair]:
    """'valid' and 'same' in pixels; what 'same' needs on one side only is padded right here."""
    if padding == "valid":
        return input, (0, 0)
    if padding != "same":
        raise RuntimeError(
            f"conv2d(): Invalid padding string: {padding!r}; padding must be 'valid', 'same' or "
            f"numbers, but got padding={padding!r}"
        )
    if stride != (1, 1):
        raise RuntimeError(
            "conv2d(): padding='same' is not supported for strided convolutions, "
            f"but got stride={stride}"
        )
    padding_pair, (extra_h, extra_w) = same_padding(weight, dilation)
    if extra_h or extra_w:
        input = F.pad(input, (0, extra_w, 0, extra_h))
    return input, padding_pair


def same_padding(weight: Tensor, dilation: Pair) -> tuple[Pair, Pair]:
    """What 'same' pads on both sides, and in addition below and to the right."""
    total_h = dilation[0] * (weight.shape[2] - 1)
    total_w = dilation[1] * (weight.shape[3] - 1)
    return (total_h // 2, total_w // 2), (total_h % 2, total_w % 2)


def _check_weight_dtype(input: Tensor, weight: Tensor) -> None:
    if weight.dtype != input.dtype:
        raise _dtype_error("weight", input.type(), weight.type(), input, weight)


def _dtype_error(
    name: str, input_type: str, other_type: str, input: Tensor, other: Tensor
) -> RuntimeError:
    return RuntimeError(
        f"conv2d(): Input type ({input_type}) and {name} type ({other_type}) should be the same, "
        f"but got input.dtype={input.dtype} and {name}.dtype={other.dtype}"
    )


def _cpp_name(tensor: Tensor) -> str:
    """What native calls a tensor's dtype where it compares that of the bias."""
    names = {torch.float16: "c10::Half", torch.bfloat16: "c10::BFloat16", torch.float32: "float"}
    return names.get(tensor.dtype, "double")


def _check_extent(input: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> None:
    padded = [input.shape[2 + axis] + 2 * padding[axis] for axis in (0, 1)]
    extent = [dilation[axis] * (weight.shape[2 + axis] - 1) + 1 for axis in (0, 1)]
    if padded[0] < extent[0] or padded[1] < extent[1]:
        raise RuntimeError(
            f"conv2d(): Calculated padded input size per channel: ({padded[0]} x {padded[1]}). "
            f"Kernel size: ({extent[0]} x {extent[1]}). Kernel size can't be greater than actual "
            f"input size; got input.shape={shape_of(input)}, weight.shape={shape_of(weight)}, "
            f"padding={padding}, dilation={dilation}"
        )


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.Conv2d, "forward", "_conv_forward")


@_native.drop_in
class Conv2d(torch.nn.Conv2d, metaclass=ABCMeta):
    """`torch.nn.Conv2d` on cnnext's kernels: same arguments, parameters, errors and results.

    Shapes: input (N, C_in, H, W) or (C_in, H, W); see `cnnext.functional.conv2d`. Calls without
    gradients keep the packed filter for the next (`cnnext.flags(keep_filters=False)`: they do not).
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return self._conv_forward(input, self.weight, self.bias)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if is_scripting():
            if self.padding_mode != "zeros":
                padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
                return native_conv2d(
                    padded, weight, bias, self.stride, 0, self.dilation, self.groups
                )
            return native_conv2d(
                input, weight, bias, self.stride, self.padding, self.dilation, self.groups
            )
        if _native.cls._conv_forward is not _native._conv_forward:
            return _native.call_replaced("_conv_forward", self, input, weight, bias)
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return _conv2d(self, input, weight, bias, self.stride, padding, self.dilation, self.groups)


CONV2D = declare(
    Operator(
        name="conv2d",
        function=conv2d,
        native=torch.nn.functional.conv2d,
        module=Conv2d,
        autograd=Conv2dFunction,
        raw=(
            "conv2d",
            "conv2d_backward_bias",
            "conv2d_backward_input",
            "conv2d_backward_weight",
            "conv2d_forward",
            "conv2d_keeping",
            "conv2d_value_facts",
        ),
        kernels="conv2d",
        cuda=CudaRule("native", "cuDNN multiplies on tensor cores, our kernels do not yet"),
    )
)

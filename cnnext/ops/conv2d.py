"""conv2d: `torch.nn.functional.conv2d` and `torch.nn.Conv2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import conv2d as native_conv2d

from cnnext.ops.common.arguments import IntOrPair, as_int, int_pairs
from cnnext.ops.common.calls_at_once import Geometry, call_at_once, call_planned
from cnnext.ops.common.convolution import (
    Gradients,
    Needed,
    Pair,
    differentiable_gradients,
    in_layout,
    layout_of,
    result_format,
)
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime import planned_calls
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


def output_size(input: Tensor, weight: Tensor, geometry: Sequence[int]) -> Pair:
    """(height, width) of the output; not positive where the filter exceeds the padded input."""
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, _ = geometry
    (h, w), (k_h, k_w) = input.shape[-2:], weight.shape[-2:]
    return (
        (h + 2 * pad_h - dilation_h * (k_h - 1) - 1) // stride_h + 1,
        (w + 2 * pad_w - dilation_w * (k_w - 1) - 1) // stride_w + 1,
    )


@register_fake("conv2d", "conv2d_forward")
def _fake_forward(input: Tensor, weight: Tensor, bias: Tensor | None, *geometry: int) -> Tensor:
    size = (input.shape[0], weight.shape[0], *output_size(input, weight, geometry))
    return input.new_empty(size).to(memory_format=result_format(input, weight))


@register_fake("conv2d_backward_input")
def _fake_backward_input(
    grad_output: Tensor, weight: Tensor, h_in: int, w_in: int, *geometry: int
) -> Tensor:
    size = (grad_output.shape[0], weight.shape[1] * geometry[-1], h_in, w_in)
    return grad_output.new_empty(size).to(memory_format=result_format(grad_output, weight))


@register_fake("conv2d_backward_input_")
def _fake_backward_input_in_place(self: Tensor, *arguments: Any) -> None:
    return None


@register_fake("conv2d_backward_weight")
def _fake_backward_weight(
    grad_output: Tensor, input: Tensor, weight: Tensor, *geometry: int
) -> Tensor:
    return grad_output.new_empty(weight.shape).to(memory_format=result_format(input, weight))


@register_fake("conv2d_backward_bias")
def _fake_backward_bias(grad_output: Tensor) -> Tensor:
    return grad_output.new_empty(grad_output.shape[1])


# ----------------------------------------------------------------------------------- autograd


def gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    geometry: Geometry,
    layout: torch.memory_format | None,
    needed: Needed,
) -> Gradients:
    """The gradients of input, weight and bias that are needed, of an output of this layout."""
    need_input, need_weight, need_bias = needed
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        return differentiable_gradients(
            grad_output, input, weight, weight.shape[0], geometry, needed
        )
    grad_input = grad_weight = grad_bias = None
    grad_output = in_layout(grad_output, layout)
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


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.geometry, ctx.layout = inputs[3:], layout_of(output)


def _backward(ctx: Any, grad_output: Tensor) -> Gradients:
    input, weight = ctx.saved_tensors
    needed = (*ctx.needs_input_grad, False)[:3]  # bias is not given to all Functions
    return gradients(grad_output, input, weight, ctx.geometry, ctx.layout, needed)


_Recorded: Any = register_autograd("conv2d", _backward, _save)


class Conv2dFunction(_Recorded):
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
        pairs = int_pairs("conv2d", stride=stride, padding=padding, dilation=dilation)
        return _Recorded.forward(ctx, input, weight, bias, *pairs[0], *pairs[1], *pairs[2], groups)


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
    return launch(CONV2D, (input, weight, bias), stride, padding, dilation, groups)


def check(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrPair,
    padding: str | bytes | IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Checked:
    """The operands and the geometry that our kernels take."""
    if 0 in input.shape or 0 in weight.shape:
        return None
    if input.dim() == 3:
        input = input.unsqueeze(0)
    groups = as_int("conv2d", "groups", groups)
    if isinstance(padding, str | bytes):  # bytes are a string to native, too
        if bias is not None and bias.dtype != input.dtype:  # rejected for padding in pixels only
            return f"bias.dtype is {bias.dtype}, input.dtype {input.dtype}"
        strides, dilations = int_pairs("conv2d", stride=stride, dilation=dilation)
        padded = pad_by_name(input, weight, strides, padding, dilations)
        if padded is None:
            return None
        input, pads = padded
    else:
        strides, pads, dilations = int_pairs(
            "conv2d", stride=stride, padding=padding, dilation=dilation
        )
    geometry: Any = (*strides, *pads, *dilations, groups)
    if not _fits(input, weight, bias, geometry):
        return None
    return input, weight, bias, *geometry


def _fits(input: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> bool:
    """Whether these are arguments that native takes too, of an output that is not empty."""
    size, filters = input.shape, weight.shape
    if len(size) != 4 or len(filters) != 4 or input.dtype != weight.dtype:
        return False
    c_out, c_in, k_h, k_w = filters
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups = geometry
    if bias is not None and (bias.shape != (c_out,) or bias.dtype != input.dtype):
        return False
    return (
        min(stride_h, stride_w, dilation_h, dilation_w, groups) > 0
        and min(pad_h, pad_w) >= 0
        and c_out % groups == 0
        and size[1] == c_in * groups
        and size[2] + 2 * pad_h > dilation_h * (k_h - 1)
        and size[3] + 2 * pad_w > dilation_w * (k_w - 1)
    )


def pad_by_name(
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, ...],
    padding: str | bytes,
    dilation: tuple[int, ...],
) -> tuple[Tensor, tuple[int, ...]] | None:
    """'valid' and 'same' in elements; what 'same' needs on one side only is padded right here.

    None for what native rejects. Of as many axes as stride and dilation are of.
    """
    if weight.dim() != 2 + len(stride):
        return None
    if padding in ("valid", b"valid"):
        return input, (0,) * len(stride)
    if padding not in ("same", b"same") or any(step != 1 for step in stride):
        return None
    totals = [step * (k - 1) for step, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(total % 2 for total in totals):
        input = F.pad(input, [n for total in reversed(totals) for n in (0, total % 2)])
    return input, tuple([total // 2 for total in totals])


def _recorded(*arguments: Any) -> Tensor:
    output = _Recorded.apply(*arguments)
    warn_once()
    return output


def _direct(*arguments: Any) -> Tensor:
    output = direct.conv2d_forward(*arguments)
    warn_once()
    return output


# ------------------------------------------------------------------------------------- module


class _CallOfModule:
    """Computes what `_direct` does, for a module that may keep its filter packed."""

    __slots__ = ("_module", "computed")

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self.computed = False

    def __call__(
        self, input: Tensor, weight: Tensor, bias: Tensor | None, *geometry: int
    ) -> Tensor:
        self.computed = True
        if not planned_calls.applies(input, weight):
            return _direct(input, weight, bias, *geometry)
        return call_planned(planned_calls.owner_of(self._module), input, weight, bias, geometry)


def convolve(
    operator: Operator,
    module: torch.nn.Conv1d | torch.nn.Conv2d,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """What a module computes by its options, and by a plan that it keeps where that may be."""
    call = None if torch.compiler.is_compiling() else _CallOfModule(module)
    input, padding = pad_by_mode(module, input)
    geometry = (module.stride, padding, module.dilation, module.groups)
    output: Tensor = launch(operator, (input, weight, bias), *geometry, direct=call)
    if call is not None and not call.computed:
        planned_calls.release(module)
    return output


def pad_by_mode(
    module: torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d, input: Tensor
) -> tuple[Tensor, Any]:
    """The input with what the module pads before the convolution, and the padding that is left."""
    if module.padding_mode == "zeros":
        return input, module.padding
    padding = module._reversed_padding_repeated_twice
    return F.pad(input, padding, mode=module.padding_mode), 0


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
        if not torch.compiler.is_compiling():
            output = call_at_once(self, input, weight, bias)
            if output is not None:
                return output
        return convolve(CONV2D, self, input, weight, bias)


CONV2D = declare(
    Operator(
        name="conv2d",
        function=conv2d,
        native=native_conv2d,
        module=Conv2d,
        autograd=Conv2dFunction,
        raw=(
            "conv2d",
            "conv2d_backward_bias",
            "conv2d_backward_input",
            "conv2d_backward_input_",
            "conv2d_backward_weight",
            "conv2d_forward",
            "conv2d_planned",
            "conv2d_value_facts",
        ),
        kernels="conv2d",
        optional=1,
        check=check,
        compiled=ops.conv2d.default,
        recorded=_recorded,
        direct=_direct,
        unbatched=lambda output: output.squeeze(0),
        cuda=CudaRule("native", "cuDNN multiplies on tensor cores, our kernels do not yet"),
    )
)

"""`torch.nn.Sequential` that trains runs of Conv2d, ReLU and MaxPool2d as one function.

Apart, the three keep for the backward pass the convolution's input, the rectified convolution
(four times as large as what a 2x2 pool leaves of it) and where the maxima were. The function keeps
the input and one byte of each maximum: its place in the window, or that it was not positive and so
has no gradient. It pools first and rectifies what is left, which is the same since both are
monotonic.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.module import _has_any_global_hook

from cnnext.ops import conv2d, max_pool2d
from cnnext.ops.common.calls_at_once import Geometry
from cnnext.ops.common.drop_in import NATIVE_LAYERS, NativeLayer
from cnnext.ops.common.pooling import Pair, pooled_size, scatter_to_planes, window_geometry
from cnnext.ops.conv2d import CONV2D, Conv2d
from cnnext.ops.max_pool2d import MAX_POOL2D, MaxPool2d
from cnnext.ops.relu import RELU, ReLU
from cnnext.runtime import planned_calls
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.fallback import fallback_reason, gradient_needed, is_scripting
from cnnext.runtime.library import ops
from cnnext.runtime.operator import Operator, declare

# Where a maximum is that was not positive. max_pool2d_backward passes over offsets outside of the
# window.
_NOWHERE = 255


class Conv2dReLUMaxPool2dFunction(torch.autograd.Function):
    """max_pool2d(relu(conv2d(input, weight, bias))) of a batch. Twice differentiable.

    `geometry` is conv2d's, `size` that of the output, and `window` max_pool2d's, which is smaller
    than 256 elements.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        size: Pair,
        window: tuple[int, ...],
    ) -> Tensor:
        convolved = ops.conv2d_forward.default(input, weight, bias, *geometry)
        warn_once()
        output, where = ops.max_pool2d_forward.default(convolved, *size, *window, True)
        where.masked_fill_(output <= 0, _NOWHERE)
        ops.relu_.default(output)
        ctx.save_for_backward(input, weight, where)
        ctx.geometry, ctx.window = geometry, window
        ctx.size = tuple(convolved.shape[2:])
        ctx.layout = conv2d.layout_of(convolved)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, where = ctx.saved_tensors
        if torch.is_grad_enabled():
            grad_convolved = _differentiable_backward(ctx, grad_output, where)
        else:
            grad_convolved = ops.max_pool2d_backward.default(
                grad_output, where, *ctx.size, *ctx.window
            )
        gradients = conv2d.gradients(
            grad_convolved, input, weight, ctx.geometry, ctx.layout, ctx.needs_input_grad[:3]
        )
        return *gradients, None, None, None


def _differentiable_backward(ctx: Any, grad_output: Tensor, where: Tensor) -> Tensor:
    """The gradient of the convolution in operators that have gradients themselves."""
    nowhere = where == _NOWHERE
    indices = max_pool2d.positions(where, ctx.size, ctx.window)
    return scatter_to_planes(
        grad_output.masked_fill(nowhere, 0), indices.masked_fill(nowhere, 0), ctx.size
    )


_RUN: list[Any] = [Conv2d, ReLU, MaxPool2d]


def _runs_as_one(run: list[Any], input: Any) -> bool:
    """Whether these modules and this input make a call of the function above."""
    if [type(module) for module in run] != _RUN or torch.compiler.is_compiling():
        return False
    if _has_any_global_hook() or any(map(_is_watched, run)) or _methods() != _METHODS:
        return False
    conv, _, pool = run
    weight, bias = conv.weight, conv.bias
    return (
        fallback_reason(CONV2D, (input, weight, bias)) is None
        and fallback_reason(RELU, (input,)) is None
        and fallback_reason(MAX_POOL2D, (input,)) is None
        and gradient_needed(input, weight, bias)
        and input.dim() == 4
        and 0 not in input.shape
        and 0 not in weight.shape
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str | bytes)
        and not pool.return_indices
    )


def _is_watched(module: Any) -> bool:
    """Whether somebody wants to see what goes into this module or comes out, or replaced it."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in vars(module)
        or "_conv_forward" in vars(module)
    )


_conv, _relu, _pool = (NATIVE_LAYERS[cls] for cls in _RUN)


def _methods() -> tuple[Any, ...]:
    """What lies on the way from a call of such modules to our code."""
    return (
        *(Conv2d.__call__, ReLU.__call__, MaxPool2d.__call__, Module._call_impl),
        *(Conv2d.forward, ReLU.forward, MaxPool2d.forward, Conv2d._conv_forward),
        *(_conv.cls.forward, _relu.cls.forward, _pool.cls.forward, _conv.cls._conv_forward),
    )


_replaced_before_us = any(
    native.is_replaced() for native in (_conv, _relu, _pool, NativeLayer(Module, "__call__"))
)
# The methods that the function replaces: if somebody patched one of them, it has to be called.
_METHODS = None if _replaced_before_us else _methods()


def _call_as_one(conv: Any, pool: Any, input: Tensor) -> Tensor | None:
    """max_pool2d(relu(conv(input))), or None if that is not a call of the function."""
    window = window_geometry(pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    if window is None or window[0] * window[1] > _NOWHERE or window[6:] != (1, 1):
        return None
    operands = (input, conv.weight, conv.bias)
    checked = conv2d.check(*operands, conv.stride, conv.padding, conv.dilation, conv.groups)
    if not isinstance(checked, tuple):
        return None
    geometry = checked[3:]
    convolved = conv2d.output_size(input, conv.weight, geometry)
    size = pooled_size(*convolved, window, pool.ceil_mode)
    if size is None:
        return None
    planned_calls.release(conv)
    return Conv2dReLUMaxPool2dFunction.apply(*operands, geometry, size, window)


_native = NativeLayer(torch.nn.Sequential)


@_native.drop_in
class Sequential(torch.nn.Sequential, metaclass=ABCMeta):
    """`torch.nn.Sequential`: same children, keys, slices and results.

    With gradients, a Conv2d, ReLU and MaxPool2d of cnnext that follow each other run as one
    function, which keeps less memory for the backward pass; not where one of them has hooks.
    """

    # TorchScript wants the type of the result, or none, and it is whatever the last module returns.
    @no_type_check
    def forward(self, input):
        if is_scripting():
            for module in self:
                input = module(input)
            return input
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return _forward(list(self), input)


def _forward(modules: list[Module], input: Any) -> Any:
    position = 0
    while position < len(modules):
        run, output = modules[position : position + 3], None
        if _runs_as_one(run, input):
            output = _call_as_one(run[0], run[2], input)
        if output is None:
            output, run = modules[position](input), run[:1]
        input = output
        position += len(run)
    return input


SEQUENTIAL = declare(Operator("Sequential", module=Sequential))

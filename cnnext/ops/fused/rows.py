"""The rows of layers that run as one function, and calls of them.

    Conv2d, ReLU, MaxPool2d                    with gradients
    BatchNorm2d, an activation                 BatchNorm2d, addition, an activation
    BatchNorm2d, [an activation,] Conv2d       with gradients

A call returns None where it is not one of the function, before it has any effect: then the layers
are called one by one. In the graph of a compiler, which decides itself what is kept for the
backward pass, the convolution stays apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.ops import batch_norm, conv2d
from cnnext.ops.batch_norm import BATCH_NORM, BatchNorm2d
from cnnext.ops.conv2d import CONV2D, Conv2d
from cnnext.ops.fused.conv_relu_pool import conv_relu_pool
from cnnext.ops.fused.layers import (
    Activation,
    bounds_of,
    is_activation,
    is_chain,
    is_watched,
    rows_are_open,
)
from cnnext.ops.fused.norm_conv import BatchNormConv2dFunction
from cnnext.ops.max_pool2d import MAX_POOL2D, MaxPool2d
from cnnext.ops.relu import RELU, ReLU
from cnnext.runtime import planned_calls
from cnnext.runtime.fallback import fallback_reason, gradient_needed
from cnnext.runtime.launch import way_of

_FIRST = (Conv2d, BatchNorm2d)  # of a row


def call_in_rows(modules: Iterable[Module], input: Any) -> Any:
    """What the modules make of the input one after the other."""
    is_open = rows_are_open()
    modules = list(_flattened(modules) if is_open else modules)
    position = 0
    while position < len(modules):
        output, length = None, 1
        if is_open and type(modules[position]) in _FIRST:
            output, length = _call_row(modules, position, input)
        if output is None:
            output, length = modules[position](input), 1
        input = output
        position += length
    return input


def _flattened(modules: Iterable[Module]) -> Iterator[Module]:
    """The modules, those of chains among them in their place."""
    for module in modules:
        if is_chain(module) and not is_watched(module):
            yield from _flattened(module.children())
        else:
            yield module


def _call_row(modules: Sequence[Module], position: int, input: Any) -> tuple[Tensor | None, int]:
    """The output of the row that begins here, and how many modules it has."""
    first, *rest = modules[position : position + 3]
    kinds = [type(module) for module in rest]
    if type(first) is Conv2d:
        if kinds != [ReLU, MaxPool2d] or not torch.is_grad_enabled():
            return None, 1
        return call_conv_relu_pool(first, rest[0], rest[1], input), 3
    if rest and is_activation(rest[0]):
        activation, conv = rest[0], rest[1] if kinds[1:] == [Conv2d] else None
    else:
        activation, conv = None, rest[0] if kinds[:1] == [Conv2d] else None
    length = 1 + (activation is not None)
    if conv is not None:
        output = call_norm_conv(first, activation, conv, input)
        if output is not None:
            return output, length + 1
    if activation is None:
        return None, 1  # the layer alone
    return call_norm(first, activation, input), length


def call_conv_relu_pool(conv: Any, relu: Module, pool: Any, input: Any) -> Tensor | None:
    """pool(relu(conv(input))) where that has gradients."""
    if pool.return_indices or any(map(is_watched, (conv, relu, pool))):
        return None
    if torch.compiler.is_compiling():
        if pool.dilation not in (1, (1, 1)):  # its windows may hold no pixel
            return None
        return relu(pool(conv(input)))  # the same, and less for relu to do and to keep
    weight, bias = conv.weight, conv.bias
    if (
        fallback_reason(CONV2D, (input, weight, bias)) is not None
        or fallback_reason(RELU, (input,)) is not None
        or fallback_reason(MAX_POOL2D, (input,)) is not None
        or not gradient_needed(input, weight, bias)
        or input.dim() != 4
        or 0 in input.shape
        or 0 in weight.shape
        or not _pads_in_pixels(conv)
    ):
        return None
    return conv_relu_pool(conv, pool, input)


def call_norm(
    norm: Any, activation: Activation, input: Any, residual: Tensor | None = None
) -> Tensor | None:
    """activation(norm(input) + residual); without one of the two where it is None."""
    operands, bounds = _operands_of(norm, input), bounds_of(activation)
    if operands is None or bounds is None:
        return None
    if residual is not None and (
        fallback_reason(BATCH_NORM, (residual,)) is not None
        or residual.shape != input.shape
        or residual.dtype != input.dtype
        or residual.device != input.device
    ):
        return None
    compute: Any = way_of(BATCH_NORM, (input, norm.weight, norm.bias, residual))
    momentum = batch_norm.count_call(norm)
    return compute(*operands, momentum, norm.eps, residual, bounds)


def call_norm_conv(norm: Any, activation: Activation, conv: Any, input: Any) -> Tensor | None:
    """conv(activation(norm(input))) where that has gradients."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    operands, bounds = _operands_of(norm, input), bounds_of(activation)
    weight, bias = conv.weight, conv.bias
    if (
        operands is None
        or bounds is None
        or is_watched(conv)
        or fallback_reason(CONV2D, (input, weight, bias)) is not None
        or not gradient_needed(input, norm.weight, norm.bias, weight, bias)
        or not _pads_in_pixels(conv)
    ):
        return None
    checked = conv2d.check(
        input, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups
    )
    if not isinstance(checked, tuple):
        return None
    planned_calls.release(conv)
    running_mean, running_var, training = operands[1], operands[2], operands[5]
    momentum = batch_norm.count_call(norm)
    return BatchNormConv2dFunction.apply(
        input, norm.weight, norm.bias, weight, bias, running_mean, running_var,
        training, momentum, norm.eps, bounds, checked[3:],
    )  # fmt: skip


def _operands_of(norm: Any, input: Any) -> tuple[Any, ...] | None:
    """What batch_norm's kernels take for this layer and input: all but momentum and eps."""
    if is_watched(norm):
        return None
    running_mean, running_var, training = batch_norm.running_statistics(norm)
    operands = (input, running_mean, running_var, norm.weight, norm.bias)
    if fallback_reason(BATCH_NORM, operands) is not None or input.dim() != 4:
        return None
    momentum = 0.0 if norm.momentum is None else norm.momentum
    checked = batch_norm.check(*operands, training, momentum, norm.eps)
    return checked[:6] if isinstance(checked, tuple) else None


def _pads_in_pixels(conv: Any) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str | bytes)

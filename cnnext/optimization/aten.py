"""What a call of each operator of ATen is in a graph, as `functions.py` says of functions.

torch.export records operators before they are decomposed, which have the names of the functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from cnnext.optimization import arithmetic, functions, structure
from cnnext.optimization.graph import Node
from cnnext.optimization.operands import Size, Sizes, Unsupported
from cnnext.optimization.structure import size

_aten = torch.ops.aten


def _batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: Any,
    momentum: Any,
    eps: Any,
    cudnn_enabled: Any,
) -> Node:
    if running_mean is None:
        raise Unsupported("normalizes by the statistics of the batch")
    return functions.batch_norm(
        input, running_mean, running_var, weight, bias, training, momentum, eps
    )


def _softmax(input: Any, dim: Any, dtype: Any = None) -> Node:
    return functions.softmax(input, dim, dtype=dtype)


def _slice(
    input: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1
) -> Node | Size | Sizes:
    if start in (None, 0) and end in (None, sys.maxsize) and step == 1:
        return structure.identity(input)
    if dim != 1:
        raise Unsupported(f"a range along dim={dim}")
    return structure.getitem(input, (slice(None), slice(start, end, step)))


def _upsample_nearest(input: Any, output_size: Any, scale_factors: Any) -> Node:
    return structure.interpolate(input, output_size, scale_factors)


def _upsample_bilinear(
    input: Any, output_size: Any, align_corners: Any, scale_factors: Any
) -> Node:
    return structure.interpolate(input, output_size, scale_factors, "bilinear", align_corners)


#: Operators by which the shape of a value is changed.
VIEWS = frozenset((_aten.view.default, _aten.reshape.default))

#: The lowering of a call, by operator. Its parameters are in the order of the operator's.
OPERATORS: dict[OpOverload, Callable[..., Any]] = {
    **dict.fromkeys((_aten.conv2d.default, _aten.conv2d.padding), functions.conv2d),
    _aten.conv_transpose2d.input: functions.conv_transpose2d,
    _aten.linear.default: functions.linear,
    _aten.batch_norm.default: _batch_norm,
    _aten.max_pool2d.default: functions.max_pool2d,
    _aten.avg_pool2d.default: functions.avg_pool2d,
    _aten.adaptive_avg_pool2d.default: functions.adaptive_avg_pool2d,
    _aten.mean.dim: functions.mean,
    _aten.relu.default: functions.relu,
    _aten.relu6.default: functions.relu6,
    _aten.hardtanh.default: functions.hardtanh,
    _aten.clamp.default: functions.clamp,
    _aten.leaky_relu.default: functions.leaky_relu,
    _aten.sigmoid.default: functions.sigmoid,
    _aten.tanh.default: functions.tanh,
    _aten.silu.default: functions.silu,
    _aten.hardswish.default: functions.hardswish,
    _aten.hardsigmoid.default: functions.hardsigmoid,
    _aten.gelu.default: functions.gelu,
    _aten.softmax.int: _softmax,
    _aten.add.Tensor: arithmetic.add,
    _aten.mul.Tensor: arithmetic.multiply,
    _aten.sub.Tensor: arithmetic.subtract,
    _aten.div.Tensor: arithmetic.divide,
    _aten.neg.default: arithmetic.negative,
    _aten.permute.default: structure.permute,
    _aten.transpose.int: structure.transpose,
    _aten.squeeze.dim: structure.squeeze,
    **dict.fromkeys((_aten.dropout.default, _aten.feature_dropout.default), structure.dropout),
    _aten.flatten.using_ints: structure.flatten,
    **dict.fromkeys(VIEWS, structure.view),
    _aten.cat.default: structure.cat,
    _aten.chunk.default: structure.chunk,
    **dict.fromkeys(
        (_aten.split.Tensor, _aten.split.sizes, _aten.split_with_sizes.default), structure.split
    ),
    _aten.slice.Tensor: _slice,
    _aten.pad.default: structure.pad,
    _aten.upsample_nearest2d.vec: _upsample_nearest,
    _aten.upsample_bilinear2d.vec: _upsample_bilinear,
    _aten.sym_size.int: size,
    _aten.clone.default: structure.clone,
    **dict.fromkeys(
        (_aten.contiguous.default, _aten.detach.default, _aten.alias.default)
        # From float32 to float32, as the example shows: other values are in no graph.
        + (_aten.to.dtype, _aten.to.dtype_layout, _aten.to.device),
        structure.identity,
    ),
}


def is_in_place(called: OpOverload) -> bool:
    return called._schema.is_mutable


def out_of_place(called: OpOverload) -> OpOverload | None:
    """The operator that writes to memory of its own what this one writes over its operand."""
    name, overload = called._schema.name.removeprefix("aten::"), called._overloadname
    other = getattr(getattr(_aten, name.removesuffix("_"), None), overload, None)
    if not name.endswith("_") or other is None or other._schema.is_mutable:
        return None
    return other

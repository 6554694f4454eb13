"""What a call of each function of PyTorch is in a graph, or why it is in none.

A lowering has the parameters of the function and is bound as the function is. It is given a `Node`
for a tensor that the graph computes, a `Constant` for a tensor of the model, and any other argument
as it is. It returns the call's value, of several nodes perhaps, or raises `Unsupported`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from cnnext.optimization.graph import Attribute, Node, Shape
from cnnext.optimization.operands import (
    Pair,
    Unsupported,
    channel_dim,
    integer,
    number,
    pair,
    value_of,
    weights_of,
)
from cnnext.optimization.structure import (
    attribute,
    cat,
    channel_shuffle,
    chunk,
    clone,
    dropout,
    features,
    flatten,
    getitem,
    identity,
    interpolate,
    lower_resized_like,
    pad,
    permute,
    pixel_shuffle,
    resized_like,
    size,
    split,
    squeeze,
    transpose,
    view,
)
from cnnext.optimization.weights import NormScale, NormShift
from cnnext.runtime.operator import OPERATORS


def _windows(value: Node, channels: int | None, *geometry: Pair, ceil_mode: bool = False) -> Shape:
    """The shape after windows of these kernel, stride, padding and dilation."""
    if value.shape is None:
        return (None, channels, None, None)
    sizes: list[int | None] = []
    for side, kernel, stride, padding, dilation in zip(value.shape[2:], *geometry, strict=True):
        if side is None or ceil_mode:
            sizes.append(None)
        else:
            sizes.append((side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return (None, channels, *sizes)


# ------------------------------------------------------------------- convolutions and products


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Node:
    value, weights = value_of(input, 4), weights_of(weight=weight, bias=bias)
    out, _, *kernel = weight.tensor.shape
    strides, dilations = pair(stride), pair(dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":
        total_h, total_w = (d * (k - 1) for d, k in zip(dilations, kernel, strict=True))
        if total_h % 2 or total_w % 2:
            value = pad(value, (0, total_w % 2, 0, total_h % 2))
        padding = (total_h // 2, total_w // 2)
    paddings = pair(padding)
    return Node(
        "conv2d",
        (value,),
        {"stride": strides, "padding": paddings, "dilation": dilations, "groups": integer(groups)},
        weights,
        shape=_windows(value, out, tuple(kernel), strides, paddings, dilations),
    )


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Node:
    value, weights = value_of(input, 4), weights_of(weight=weight, bias=bias)
    return Node(
        "conv_transpose2d",
        (value,),
        {
            "stride": pair(stride),
            "padding": pair(padding),
            "output_padding": pair(output_padding),
            "dilation": pair(dilation),
            "groups": integer(groups),
        },
        weights,
        shape=(None, weight.tensor.shape[1] * groups, None, None),
    )


def linear(input: Any, weight: Any, bias: Any = None) -> Node:
    value, weights = value_of(input), weights_of(weight=weight, bias=bias)
    if value.rank == 4:
        raise Unsupported("an operand has 4 dimensions, not 2 or 3")
    shape = (*[None] * ((value.rank or 2) - 1), weight.tensor.shape[0])
    return Node("linear", (value,), {}, weights, shape=shape)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: Any = 0.1,
    eps: Any = 1e-5,
    cudnn_enabled: Any = False,
) -> Node:
    value = value_of(input)
    if value.rank == 3:
        raise Unsupported("an operand has 3 dimensions, not 2 or 4")
    if training is not False:
        raise Unsupported("normalizes by the statistics of the batch")
    given = weights_of(mean=running_mean, variance=running_var, gamma=weight, beta=bias)
    scale = NormScale(given.get("gamma"), given["variance"], number(eps))
    shift = NormShift(given.get("beta"), given["mean"], scale)
    return Node("scale_shift", (value,), {}, {"scale": scale, "shift": shift}, shape=value.shape)


# --------------------------------------------------------------------------------------- pools


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
    return_indices: Any = False,
) -> Node:
    value = value_of(input, 4)
    if return_indices:
        raise Unsupported("indices are asked for")
    kernel = pair(kernel_size)
    strides = kernel if stride is None or stride == [] else pair(stride)
    geometry = (kernel, strides, pair(padding), pair(dilation))
    attributes: dict[str, Attribute] = dict(
        zip(("kernel", "stride", "padding", "dilation"), geometry, strict=True)
    )
    attributes["ceil_mode"] = bool(ceil_mode)
    shape = _windows(value, value.channels, *geometry, ceil_mode=ceil_mode)
    return Node("max_pool2d", (value,), attributes, shape=shape)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Node:
    value = value_of(input, 4)
    kernel = pair(kernel_size)
    strides = kernel if stride is None or stride == [] else pair(stride)
    paddings = pair(padding)
    attributes: dict[str, Attribute] = {
        "kernel": kernel,
        "stride": strides,
        "padding": paddings,
        "ceil_mode": bool(ceil_mode),
        "count_include_pad": bool(count_include_pad),
        "divisor_override": 0 if divisor_override is None else integer(divisor_override),
    }
    geometry = (kernel, strides, paddings, (1, 1))
    shape = _windows(value, value.channels, *geometry, ceil_mode=ceil_mode)
    return Node("avg_pool2d", (value,), attributes, shape=shape)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Node:
    value, size = value_of(input, 4), pair(output_size)
    shape = (None, value.channels, *size)
    return Node("adaptive_avg_pool2d", (value,), {"size": size}, shape=shape)


def mean(input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Node:
    value = value_of(input, 4)
    dims = [integer(each) % 4 for each in dim] if isinstance(dim, list | tuple) else None
    if dims is None or sorted(dims) != [2, 3] or dtype is not None:
        raise Unsupported(f"a mean over dim={dim!r}")
    pooled = adaptive_avg_pool2d(value, 1)
    return pooled if keepdim else features(pooled)


# ------------------------------------------------------------------------------- element-wise


def activation(input: Any, name: str, *parameters: Any) -> Node:
    value = value_of(input)
    words: tuple[str | float, ...] = (name, *map(number, parameters))
    return Node("activation", (value,), {"activation": words}, shape=value.shape)


def relu(input: Any, inplace: Any = False) -> Node:
    return activation(input, "relu")


def hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0, inplace: Any = False) -> Node:
    return activation(input, "clamp", min_val, max_val)


def relu6(input: Any, inplace: Any = False) -> Node:
    return hardtanh(input, 0.0, 6.0)


def clamp(input: Any, min: Any = None, max: Any = None) -> Node:
    low = -float("inf") if min is None else min
    high = float("inf") if max is None else max
    return activation(input, "clamp", low, high)


def leaky_relu(input: Any, negative_slope: Any = 0.01, inplace: Any = False) -> Node:
    return activation(input, "leaky_relu", negative_slope)


def sigmoid(input: Any) -> Node:
    return activation(input, "sigmoid")


def tanh(input: Any) -> Node:
    return activation(input, "tanh")


def silu(input: Any, inplace: Any = False) -> Node:
    return activation(input, "silu")


def hardswish(input: Any, inplace: Any = False) -> Node:
    return activation(input, "hardswish")


def hardsigmoid(input: Any, inplace: Any = False) -> Node:
    return activation(input, "hardsigmoid")


def gelu(input: Any, *, approximate: Any = "none") -> Node:
    return activation(input, "gelu_tanh" if approximate == "tanh" else "gelu")


def softmax(input: Any, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Node:
    return _softmax("softmax", input, dim, dtype)


def log_softmax(input: Any, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Node:
    return _softmax("log_softmax", input, dim, dtype)


def _softmax(operator: str, input: Any, dim: Any, dtype: Any) -> Node:
    value = value_of(input)
    if dtype is not None:
        raise Unsupported(f"dtype={dtype}")
    # Without a dim it is 1 for 2 and for 4 dimensions.
    channel_dim(1 if dim is None else dim, value)
    if value.rank == 3:
        raise Unsupported("an operand has 3 dimensions, not 2 or 4")
    return Node(operator, (value,), shape=value.shape)


def add(input: Any, other: Any) -> Node:
    a, b = value_of(input), value_of(other)
    if not _may_be_equal(a.shape, b.shape):
        raise Unsupported("the operands are broadcast")
    return Node("add", (a, b), shape=_merged(a.shape, b.shape))


def multiply(input: Any, other: Any) -> Node:
    a, b = value_of(input), value_of(other)
    if _is_pooled(a) and not _is_pooled(b):
        a, b = b, a
    if not _is_pooled(b) and not _may_be_equal(a.shape, b.shape):
        raise Unsupported("the operands are broadcast")
    return Node("multiply", (a, b), shape=a.shape)


def _is_pooled(value: Node) -> bool:
    """Whether it is known to have one pixel."""
    return value.shape is not None and value.shape[2:] == (1, 1)


def _may_be_equal(a: Shape, b: Shape) -> bool:
    if a is None or b is None:
        return True
    pairs = zip(a, b, strict=True) if len(a) == len(b) else [(0, 1)]
    return all(x is None or y is None or x == y for x, y in pairs)


def _merged(a: Shape, b: Shape) -> Shape:
    """What is known of a shape that both are."""
    if a is None or b is None:
        return b if a is None else a
    return tuple(y if x is None else x for x, y in zip(a, b, strict=True))


# ---------------------------------------------------------------------------------- the tables

#: The lowering of a call, by function.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((F.conv2d, torch.conv2d), conv2d),
    **dict.fromkeys((F.conv_transpose2d, torch.conv_transpose2d), conv_transpose2d),
    F.linear: linear,
    F.batch_norm: batch_norm,
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), max_pool2d),
    F.avg_pool2d: avg_pool2d,
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    torch.mean: mean,
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_), relu),
    **dict.fromkeys((F.hardtanh, F.hardtanh_), hardtanh),
    F.relu6: relu6,
    **dict.fromkeys((torch.clamp, torch.clamp_, torch.clip), clamp),
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), leaky_relu),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, torch.sigmoid_), sigmoid),
    **dict.fromkeys((F.tanh, torch.tanh, torch.tanh_), tanh),
    F.silu: silu,
    F.hardswish: hardswish,
    F.hardsigmoid: hardsigmoid,
    F.gelu: gelu,
    **dict.fromkeys((F.softmax, torch.softmax), softmax),
    **dict.fromkeys((F.log_softmax, torch.log_softmax), log_softmax),
    **dict.fromkeys((F.dropout, F.dropout2d), dropout),
    torch.flatten: flatten,
    torch.squeeze: squeeze,
    torch.permute: permute,
    **dict.fromkeys((torch.transpose, torch.swapaxes), transpose),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), cat),
    torch.chunk: chunk,
    torch.split: split,
    operator.getitem: getitem,
    getattr: attribute,
    torch.reshape: view,
    **dict.fromkeys((F.channel_shuffle, torch.channel_shuffle), channel_shuffle),
    **dict.fromkeys((F.pixel_shuffle, torch.pixel_shuffle), pixel_shuffle),
    F.pad: pad,
    **dict.fromkeys((F.interpolate, F.upsample), interpolate),
    resized_like: lower_resized_like,
}
for _operator in OPERATORS.values():
    if _operator.native in FUNCTIONS and _operator.function is not None:
        FUNCTIONS[_operator.function] = FUNCTIONS[_operator.native]

#: The lowering of a call of a tensor's method, by name.
METHODS: dict[str, Callable[..., Any]] = {
    "mean": mean,
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("clamp", "clamp_", "clip"), clamp),
    **dict.fromkeys(("sigmoid", "sigmoid_"), sigmoid),
    **dict.fromkeys(("tanh", "tanh_"), tanh),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "flatten": flatten,
    "squeeze": squeeze,
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes"), transpose),
    "size": size,
    **dict.fromkeys(("view", "reshape"), view),
    "chunk": chunk,
    "split": split,
    **dict.fromkeys(("contiguous", "detach"), identity),
    "clone": clone,
}

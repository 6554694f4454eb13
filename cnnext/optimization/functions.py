"""What a call of each function of PyTorch is in a graph, or why it is in none.

A lowering has the parameters of the function and is bound as the function is. It is given a `Node`
for a tensor that the graph computes, a `Constant` for a tensor of the model, and any other argument
as it is. It returns the call's value, of several nodes perhaps, or raises `Unsupported`.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from cnnext.optimization.graph import Attribute, Node, Shape
from cnnext.optimization.sequences import Columns, rows, step, transposed
from cnnext.optimization.weights import Attribute as ModelAttribute
from cnnext.optimization.weights import NormScale, NormShift, Weight
from cnnext.runtime.operator import OPERATORS


class Unsupported(Exception):
    """Why a call is not lowered: a phrase."""


@dataclass(frozen=True)
class Constant:
    """A tensor of the model, or one that follows from such.

    Attributes:
        tensor: the model's, or one of the sizes and type of what is computed.
        path: its qualified name.
        made: how it is made, None for what the model has.
    """

    tensor: Tensor
    path: str
    made: Weight | None = None

    def recipe(self) -> Weight:
        if self.made is not None:
            return self.made
        tensor = self.tensor
        if type(tensor) not in (Tensor, Parameter):
            raise Unsupported(f"{self.path} is a {type(tensor).__name__}")
        if not tensor.is_cpu or tensor.layout != torch.strided:
            raise Unsupported(f"{self.path} is on {tensor.device}, {tensor.layout}")
        return ModelAttribute(self.path, tuple(tensor.shape))

    def weight(self) -> Weight:
        if self.tensor.dtype != torch.float32:
            raise Unsupported(f"{self.path} is {self.tensor.dtype}")
        return self.recipe()


@dataclass(frozen=True)
class Sizes:
    """The shape of a value."""

    value: Node


@dataclass(frozen=True)
class Size:
    """The size of a value along a dimension."""

    value: Node
    dim: int


Pair = tuple[int, int]


# --------------------------------------------------------------------------------- arguments


def value_of(argument: Any, rank: int | None = None) -> Node:
    if not isinstance(argument, Node):
        kind = "a tensor of the model" if isinstance(argument, Constant) else _text(argument)
        raise Unsupported(f"an operand is {kind}")
    if rank is not None and argument.rank not in (None, rank):
        raise Unsupported(f"an operand has {argument.rank} dimensions, not {rank}")
    return argument


def weights_of(**constants: Any) -> dict[str, Weight]:
    for name, constant in constants.items():
        if constant is not None and not isinstance(constant, Constant):
            raise Unsupported(f"{name} is computed")
    return {name: each.weight() for name, each in constants.items() if each is not None}


def _text(argument: Any) -> str:
    return "what is computed" if isinstance(argument, Node | Size | Sizes) else repr(argument)


def _int(argument: Any) -> int:
    if type(argument) is not int:
        raise Unsupported(f"{_text(argument)} is not an int")
    return argument


def number(argument: Any) -> float:
    if type(argument) not in (int, float):
        raise Unsupported(f"{_text(argument)} is not a number")
    return float(argument)


def _pair(argument: Any) -> Pair:
    if isinstance(argument, list | tuple):
        sizes = tuple(map(_int, argument))
        if len(sizes) == 1:
            sizes *= 2
        if len(sizes) != 2:
            raise Unsupported(f"{argument!r} is not a pair")
        return sizes
    return (_int(argument),) * 2


def _channel_dim(argument: Any, value: Node) -> None:
    """Accepts 1, of a sequence 2, and what means the same."""
    dim = _int(argument)
    if value.rank == 3:
        if dim not in (2, -1):
            raise Unsupported(f"dim={dim} of 3 dimensions")
        return
    if dim != 1 and (dim >= 0 or value.rank is None or dim + value.rank != 1):
        raise Unsupported(f"dim={dim} of {value.rank or 'any number of'} dimensions")


def _windows(value: Node, channels: int | None, *geometry: Pair, ceil_mode: bool = False) -> Shape:
    """The shape after windows of these kernel, stride, padding and dilation."""
    if value.shape is None:
        return (None, channels, None, None)
    sizes: list[int | None] = []
    for size, kernel, stride, padding, dilation in zip(value.shape[2:], *geometry, strict=True):
        if size is None or ceil_mode:
            sizes.append(None)
        else:
            sizes.append((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
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
    strides, dilations = _pair(stride), _pair(dilation)
    if padding == "valid":
        padding = 0
    if padding == "same":
        total_h, total_w = (d * (k - 1) for d, k in zip(dilations, kernel, strict=True))
        if total_h % 2 or total_w % 2:
            value = pad(value, (0, total_w % 2, 0, total_h % 2))
        padding = (total_h // 2, total_w // 2)
    paddings = _pair(padding)
    return Node(
        "conv2d",
        (value,),
        {"stride": strides, "padding": paddings, "dilation": dilations, "groups": _int(groups)},
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
            "stride": _pair(stride),
            "padding": _pair(padding),
            "output_padding": _pair(output_padding),
            "dilation": _pair(dilation),
            "groups": _int(groups),
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
    kernel = _pair(kernel_size)
    strides = kernel if stride is None or stride == [] else _pair(stride)
    geometry = (kernel, strides, _pair(padding), _pair(dilation))
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
    kernel = _pair(kernel_size)
    strides = kernel if stride is None or stride == [] else _pair(stride)
    paddings = _pair(padding)
    attributes: dict[str, Attribute] = {
        "kernel": kernel,
        "stride": strides,
        "padding": paddings,
        "ceil_mode": bool(ceil_mode),
        "count_include_pad": bool(count_include_pad),
        "divisor_override": 0 if divisor_override is None else _int(divisor_override),
    }
    geometry = (kernel, strides, paddings, (1, 1))
    shape = _windows(value, value.channels, *geometry, ceil_mode=ceil_mode)
    return Node("avg_pool2d", (value,), attributes, shape=shape)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Node:
    value, size = value_of(input, 4), _pair(output_size)
    shape = (None, value.channels, *size)
    return Node("adaptive_avg_pool2d", (value,), {"size": size}, shape=shape)


def mean(input: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Node:
    value = value_of(input, 4)
    dims = [_int(each) % 4 for each in dim] if isinstance(dim, list | tuple) else None
    if dims is None or sorted(dims) != [2, 3] or dtype is not None:
        raise Unsupported(f"a mean over dim={dim!r}")
    pooled = adaptive_avg_pool2d(value, 1)
    return pooled if keepdim else _features(pooled)


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
    _channel_dim(1 if dim is None else dim, value)
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


# ----------------------------------------------------------------------------------- structure


def identity(input: Any, *unused: Any, **options: Any) -> Node:
    return value_of(input)


def clone(input: Any, **options: Any) -> Node:
    value = value_of(input)
    if value.operator == "input":  # which the caller has, too
        raise Unsupported("a copy of what is given")
    return value


def dropout(input: Any, p: Any = 0.5, training: Any = True, inplace: Any = False) -> Node:
    if training is not False and p != 0:
        raise Unsupported("drops values at random")
    return value_of(input)


def flatten(input: Any, start_dim: Any = 0, end_dim: Any = -1) -> Node | Columns:
    value = value_of(input)
    last = (-1, value.rank and value.rank - 1)
    if value.rank == 4 and start_dim == 2 and end_dim in last:
        return Columns(value)
    if value.rank == 4 and (start_dim, end_dim) in ((1, 2), (1, -2)):
        return Columns(value, height=1)
    if _int(start_dim) != 1 or end_dim not in last:
        raise Unsupported(f"start_dim={start_dim}, end_dim={end_dim}")
    return _features(value)


def _features(value: Node) -> Node:
    """(N, C, H, W) as (N, C * H * W)."""
    if value.rank == 2:
        return value
    if value.rank == 3:
        raise Unsupported("an operand has 3 dimensions, not 2 or 4")
    features = value.channels
    for size in (None, None) if value.shape is None else value.shape[2:]:
        features = None if features is None or size is None else features * size
    return Node("flatten", (value,), shape=(None, features))


def squeeze(input: Any, dim: Any = None) -> Columns:
    value = value_of(input, 4)
    if value.rank is None or dim not in (2, -2):
        raise Unsupported(f"dim={dim} of {value.rank or 'any number of'} dimensions")
    return Columns(value, height=1)


def permute(input: Any, *dims: Any) -> Node:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], list | tuple) else dims
    axes = tuple(each % 3 for each in map(_int, order))
    if isinstance(input, Columns):
        if axes == (0, 2, 1):
            return rows(input)
        if axes == (2, 0, 1):
            return transposed(rows(input))
        raise Unsupported(f"a permutation by {axes}")
    value = value_of(input)
    if value.rank != 3 or axes != (1, 0, 2):
        raise Unsupported(f"no operator for permute by {tuple(order)}")
    return transposed(value)


def transpose(input: Any, dim0: Any, dim1: Any) -> Node:
    if not isinstance(input, Columns) and value_of(input).rank != 3:
        raise Unsupported("no operator for transpose")
    axes = [0, 1, 2]
    a, b = _int(dim0) % 3, _int(dim1) % 3
    axes[a], axes[b] = axes[b], axes[a]
    return permute(input, axes)


def size(input: Any, dim: Any = None) -> Sizes | Size:
    value = value_of(input)
    return Sizes(value) if dim is None else Size(value, _int(dim))


def attribute(value: Any, name: Any) -> Sizes:
    if name != "shape":
        raise Unsupported(f"no operator for .{name}")
    return Sizes(value_of(value))


def view(input: Any, *shape: Any) -> Node:
    """Only what is a flattening: (N, -1) of a batch of N, and (-1, features)."""
    value = value_of(input)
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    if len(sizes) == 2 and _is_batch(sizes[0], value) and type(sizes[1]) is int:
        return _features(value)
    if len(sizes) == 2 and sizes[0] == -1 and type(sizes[1]) is int and sizes[1] > 0:
        return dataclasses.replace(_features(value), shape=(None, sizes[1]))
    raise Unsupported("another shape than (N, features)")


def _is_batch(size: Any, value: Node) -> bool:
    """Whether this is the size of the value's batch: that of all which it is computed from."""
    if not isinstance(size, Size) or size.dim != 0:
        return False
    sources = [value]
    for source in sources:
        sources += (each for each in source.operands if each not in sources)
    return size.value in sources


def cat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Node:
    if not isinstance(tensors, list | tuple):
        raise Unsupported("what is concatenated is computed")
    values = [value_of(each) for each in tensors]
    _channel_dim(dim if axis is None else axis, values[0])
    ranks = {value.rank for value in values} - {None}
    if len(ranks) > 1:
        raise Unsupported("the operands have different numbers of dimensions")
    channels = [value.channels for value in values]
    total = None if None in channels else sum(each for each in channels if each is not None)
    known = next((value.shape for value in values if value.shape is not None), None)
    return Node("concat", tuple(values), shape=_with_channels(known, total))


def channel_range(value: Node, start: int, stop: int) -> Node:
    shape = _with_channels(value.shape, stop - start)
    return Node("slice", (value,), {"from": start, "to": stop}, shape=shape)


def _with_channels(shape: Shape, channels: int | None) -> Shape:
    if shape is None:
        return None
    return (*shape[:2], channels) if len(shape) == 3 else (None, channels, *shape[2:])


def chunk(input: Any, chunks: Any, dim: Any = 0) -> tuple[Node, ...]:
    value = value_of(input)
    if value.channels is None:
        raise Unsupported("the number of channels is not known")
    return split(input, -(-value.channels // _int(chunks)), dim)


def split(
    tensor: Any, split_size_or_sections: Any = None, dim: Any = 0, *, split_size: Any = None
) -> tuple[Node, ...]:
    value = value_of(tensor)
    _channel_dim(dim, value)
    if (channels := value.channels) is None:
        raise Unsupported("the number of channels is not known")
    sections = split_size_or_sections if split_size is None else split_size
    if isinstance(sections, list | tuple):
        sizes = [_int(each) for each in sections]
    else:
        step = _int(sections)
        sizes = [min(step, channels - start) for start in range(0, channels, step)]
    stops = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return tuple(
        channel_range(value, stop - size, stop) for size, stop in zip(sizes, stops, strict=True)
    )


def getitem(value: Any, index: Any) -> Any:
    """An item of what `chunk`, `split`, `size` and recurrent layers give, a range of channels,
    x[:, from:to], or a step of a sequence, x[t] or x[:, t]."""
    if isinstance(value, Sizes):
        if type(index) is int:
            return Size(value.value, index)
        if not isinstance(index, slice) or value.value.rank not in (None, 4):
            raise Unsupported("several sizes")
        return tuple(Size(value.value, dim) for dim in range(4)[index])
    if isinstance(value, tuple) and type(index) is int:
        if not -len(value) <= index < len(value):
            raise Unsupported(f"the index {index!r}")
        return value[index]
    if isinstance(value, Node) and value.rank == 3:
        return _step_of(value, index)
    whole = slice(None)
    if (
        not isinstance(value, Node)
        or not isinstance(index, tuple)
        or len(index) < 2
        or not isinstance(index[1], slice)
        or any(each not in (whole, ...) for each in (index[0], *index[2:]))
        or index[0] is ...
    ):
        raise Unsupported(f"the index {index!r}")
    bounds = index[1]
    if value.channels is None:
        raise Unsupported("the number of channels is not known")
    for bound in (bounds.start, bounds.stop, bounds.step):
        if bound is not None:
            _int(bound)
    start, stop, step = bounds.indices(value.channels)
    if step != 1 or start >= stop:
        raise Unsupported(f"the index {index!r}")
    return channel_range(value, start, stop)


def _step_of(value: Node, index: Any) -> Node:
    """x[t] or x[:, t] of a sequence."""
    given = [*index] if isinstance(index, tuple) else [index]
    while given and given[-1] in (slice(None), ...):
        given.pop()
    if given[:-1] not in ([], [slice(None)]) or not given or type(given[-1]) is not int:
        raise Unsupported(f"the index {index!r}")
    return step(value, given[-1], dim=len(given) - 1)


def channel_shuffle(input: Any, groups: Any) -> Node:
    value, number = value_of(input, 4), _int(groups)
    return Node("shuffle", (value,), {"groups": number}, shape=value.shape)


def pixel_shuffle(input: Any, upscale_factor: Any) -> Node:
    value, factor = value_of(input, 4), _int(upscale_factor)
    channels = None if value.channels is None or factor < 1 else value.channels // factor**2
    attributes: dict[str, Attribute] = {"upscale": factor}
    return Node("pixel_shuffle", (value,), attributes, shape=(None, channels, None, None))


def pad(input: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Node:
    image = value_of(input, 4)
    sizes = tuple(map(_int, pad)) if isinstance(pad, list | tuple) else ()
    if mode != "constant" or value not in (None, 0):
        raise Unsupported(f"mode={mode!r}, value={value}")
    if len(sizes) == 2:
        sizes += (0, 0)
    if len(sizes) != 4 or min(sizes) < 0:
        raise Unsupported(f"pad={pad}")
    if not any(sizes):
        return image
    left, right, top, bottom = sizes
    h, w = (None, None) if image.shape is None else image.shape[2:]
    shape = (
        None,
        image.channels,
        None if h is None else h + top + bottom,
        None if w is None else w + left + right,
    )
    return Node("pad", (image,), {"padding": sizes}, shape=shape)


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: Any = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: Any = False,
) -> Node:
    value = value_of(input, 4)
    if antialias or mode not in ("nearest", "bilinear"):
        raise Unsupported(f"mode={mode!r}, antialias={antialias}")
    if (size is None) == (scale_factor is None) or mode == "nearest" and align_corners is not None:
        raise Unsupported("its arguments contradict each other")
    attributes: dict[str, Attribute] = {}
    operands: tuple[Node, ...] = (value,)
    sizes: tuple[int | None, ...] = (None, None)
    if scale_factor is not None:
        factors = scale_factor if isinstance(scale_factor, list | tuple) else (scale_factor,) * 2
        numbers = tuple(map(number, factors))
        if len(numbers) != 2 or not all(each > 0 for each in numbers):
            raise Unsupported(f"scale_factor={scale_factor}")
        attributes["scale"] = numbers
        if recompute_scale_factor:
            attributes["recompute_scale_factor"] = True
    elif (like := _whose_size(size)) is not None:
        operands = (value, like)
        if like.shape is not None:
            sizes = like.shape[2:]
    else:
        attributes["size"] = sizes = _pair(size)
    if mode == "bilinear":
        attributes["align_corners"] = bool(align_corners)
    shape = (None, value.channels, *sizes)
    return Node(f"upsample_{mode}", operands, attributes, shape=shape)


def resized_like(input: Tensor, like: Tensor, mode: str, align_corners: bool | None) -> Tensor:
    """`interpolate` to the height and width of another value: no sizes are handed to it."""
    return F.interpolate(input, like.shape[2:], None, mode, align_corners)


def _lower_resized_like(input: Any, like: Any, mode: Any, align_corners: Any) -> Node:
    size = tuple(Size(value_of(like, 4), dim) for dim in (2, 3))
    return interpolate(input, size, None, mode, align_corners)


def _whose_size(size: Any) -> Node | None:
    """The value whose height and width this is, or None for a number or two."""
    given = size if isinstance(size, list | tuple) else (size,)
    if not any(isinstance(each, Size | Sizes | Node) for each in given):
        return None
    if len(given) == 2 and all(isinstance(each, Size) for each in given):
        height, width = given
        if height.value is width.value and (height.dim % 4, width.dim % 4) == (2, 3):
            return value_of(height.value, 4)
    raise Unsupported("the size is not the height and width of a value")


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
    resized_like: _lower_resized_like,
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

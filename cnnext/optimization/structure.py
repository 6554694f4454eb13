"""What a call that moves values about or asks for their sizes is in a graph: see functions.py."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cnnext.optimization.graph import Attribute, Node, Shape
from cnnext.optimization.operands import (
    Size,
    Sizes,
    Unsupported,
    channel_dim,
    integer,
    number,
    pair,
    value_of,
)
from cnnext.optimization.sequences import Columns, rows, step, transposed


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
    if integer(start_dim) != 1 or end_dim not in last:
        raise Unsupported(f"start_dim={start_dim}, end_dim={end_dim}")
    return features(value)


def features(value: Node) -> Node:
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
    axes = tuple(each % 3 for each in map(integer, order))
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
    a, b = integer(dim0) % 3, integer(dim1) % 3
    axes[a], axes[b] = axes[b], axes[a]
    return permute(input, axes)


def size(input: Any, dim: Any = None) -> Sizes | Size:
    value = value_of(input)
    return Sizes(value) if dim is None else Size(value, integer(dim))


def attribute(value: Any, name: Any) -> Sizes:
    if name != "shape":
        raise Unsupported(f"no operator for .{name}")
    return Sizes(value_of(value))


def view(input: Any, *shape: Any) -> Node:
    """Only what is a flattening: (N, -1) of a batch of N, and (-1, features)."""
    value = value_of(input)
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    if len(sizes) == 2 and _is_batch(sizes[0], value) and type(sizes[1]) is int:
        return features(value)
    if len(sizes) == 2 and sizes[0] == -1 and type(sizes[1]) is int and sizes[1] > 0:
        return dataclasses.replace(features(value), shape=(None, sizes[1]))
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
    channel_dim(dim if axis is None else axis, values[0])
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
    return split(input, -(-value.channels // integer(chunks)), dim)


def split(
    tensor: Any, split_size_or_sections: Any = None, dim: Any = 0, *, split_size: Any = None
) -> tuple[Node, ...]:
    value = value_of(tensor)
    channel_dim(dim, value)
    if (channels := value.channels) is None:
        raise Unsupported("the number of channels is not known")
    sections = split_size_or_sections if split_size is None else split_size
    if isinstance(sections, list | tuple):
        sizes = [integer(each) for each in sections]
    else:
        step = integer(sections)
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
            integer(bound)
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
    value, number = value_of(input, 4), integer(groups)
    return Node("shuffle", (value,), {"groups": number}, shape=value.shape)


def pixel_shuffle(input: Any, upscale_factor: Any) -> Node:
    value, factor = value_of(input, 4), integer(upscale_factor)
    channels = None if value.channels is None or factor < 1 else value.channels // factor**2
    attributes: dict[str, Attribute] = {"upscale": factor}
    return Node("pixel_shuffle", (value,), attributes, shape=(None, channels, None, None))


def pad(input: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Node:
    image = value_of(input, 4)
    sizes = tuple(map(integer, pad)) if isinstance(pad, list | tuple) else ()
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
        attributes["size"] = sizes = pair(size)
    if mode == "bilinear":
        attributes["align_corners"] = bool(align_corners)
    shape = (None, value.channels, *sizes)
    return Node(f"upsample_{mode}", operands, attributes, shape=shape)


def resized_like(input: Tensor, like: Tensor, mode: str, align_corners: bool | None) -> Tensor:
    """`interpolate` to the height and width of another value: no sizes are handed to it."""
    return F.interpolate(input, like.shape[2:], None, mode, align_corners)


def lower_resized_like(input: Any, like: Any, mode: Any, align_corners: Any) -> Node:
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

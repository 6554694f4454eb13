"""roi_pool in functions of torch, which PyTorch itself lacks, and what both forms of it check."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from cnnext.ops.common.pooling import Pair, as_pair

_is_fake = torch._subclasses.fake_tensor.is_fake
_is_tracing = torch.jit.is_tracing  # type: ignore[attr-defined]
_TracerWarning = torch.jit.TracerWarning  # type: ignore[attr-defined]

#: One tensor for the batch, or one for each of its images.
Boxes = Tensor | Sequence[Tensor]


def roi_pool(
    input: Tensor, boxes: Boxes, output_size: int | tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """`cnnext.functional.roi_pool` in functions of torch: every dtype and device.

    In graphs of torch.compile and torch.export and in traces, which are also what is exported to
    ONNX, the height and width of ``input`` are constants, and equal maxima share the gradient.
    """
    if has_torch_function((input, boxes)):
        operands = (input, boxes)
        return handle_torch_function(roi_pool, operands, *operands, output_size, spatial_scale)
    with _without_tracer_warnings() if _is_tracing() else nullcontext():
        rois, size, scale = _check(input, boxes, output_size, spatial_scale)
    if torch.compiler.is_compiling() or _is_tracing() or rois.is_meta or _is_fake(rois):
        return _pool_without_loops(input, rois, size, scale)
    check_numbers(rois, input.shape[0])
    return _pool(input, rois, size, scale)


@contextmanager
def _without_tracer_warnings() -> Iterator[None]:
    """A trace is for the sizes that it was made with, of which it warns at each comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _TracerWarning)
        yield


def _check(
    input: Any, boxes: Any, output_size: Any, spatial_scale: Any
) -> tuple[Tensor, Pair, float]:
    """Boxes as one tensor, the bins in height and width, and the scale."""
    rois = as_rois(boxes, input)
    _check_types(input, rois)
    if (size := as_bins(output_size)) is None:
        raise ValueError("roi_pool(): output_size must be one or two positive integers")
    if (wrong := why_wrong_shapes(input, rois)) is not None:
        raise RuntimeError(f"roi_pool(): {wrong}")
    if (scale := as_scale(spatial_scale)) is None:
        raise ValueError("roi_pool(): spatial_scale must be a finite number")
    return rois, size, scale


def as_rois(boxes: Any, input: Any) -> Any:
    """Boxes as one tensor ``(K, 5)``; what is no list of a ``(K_i, 4)`` an image stays as it is."""
    if not isinstance(boxes, list | tuple) or _why_no_list_of_boxes(boxes, input) is not None:
        return boxes
    images = [t.new_full((t.shape[0], 1), image) for image, t in enumerate(boxes)]
    return torch.cat([torch.cat(pair, 1) for pair in zip(images, boxes, strict=True)])


def _why_no_list_of_boxes(boxes: Sequence[Any], input: Any) -> str | None:
    if isinstance(input, Tensor) and input.dim() == 4 and len(boxes) != input.shape[0]:
        return f"has {len(boxes)} elements for {input.shape[0]} images"
    for index, of_image in enumerate(boxes):
        if not isinstance(of_image, Tensor):
            return f"holds {type(of_image).__name__}"
        if of_image.dim() != 2 or of_image.shape[1] != 4:
            return f"holds boxes[{index}] of shape {list(of_image.shape)}"
    return None if boxes else "is empty"


def as_bins(output_size: Any) -> Pair | None:
    """Bins in height and width, or None if they are not what kernels take."""
    size = as_pair(output_size)
    return None if size is None or 0 in size else size


def as_scale(value: Any) -> float | None:
    """A finite number, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | torch.SymFloat):
        return None
    return float(value) if -math.inf < value < math.inf else None


def why_wrong_shapes(input: Tensor, rois: Tensor) -> str | None:
    """What the shapes do not fit, or None if they do."""
    if input.dim() != 4:
        return "input must be (N, C, H, W)"
    if input.shape[2] == 0 or input.shape[3] == 0:
        return "input must have a height and a width"
    if rois.dim() != 2 or rois.shape[1] != 5:
        return "boxes must be (K, 5), or a list of (K_i, 4)"
    return None


def _check_types(input: Any, rois: Any) -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"roi_pool(): input must be a tensor, not {type(input).__name__}")
    if not isinstance(rois, Tensor):
        found = f"is {type(rois).__name__}"
        if isinstance(rois, list | tuple):
            found = _why_no_list_of_boxes(rois, input) or found
        raise TypeError(
            "roi_pool(): boxes must be a tensor (K, 5), or a list of one (K_i, 4) for each image "
            f"of input, but {found}"
        )
    for name, tensor in (("input", input), ("boxes", rois)):
        if not tensor.is_floating_point():
            raise RuntimeError(
                f"roi_pool(): {name} must have a floating-point dtype, not {tensor.dtype}"
            )
    if input.device != rois.device:
        raise RuntimeError(
            f"roi_pool(): input is on {input.device}, and boxes are on {rois.device}"
        )


def check_numbers(rois: Tensor, batch: int) -> None:
    """Raises for boxes of no image of the batch, and for those that are not finite."""
    if torch._C._are_functorch_transforms_active():
        return  # under which no number can be looked at
    wrong = ~rois.isfinite().all(1) | (rois[:, 0] <= -1) | (rois[:, 0] >= batch)
    if wrong.any():
        k = int(wrong.nonzero()[0])
        raise RuntimeError(
            f"roi_pool(): boxes must be finite, and begin with the index of one of the {batch} "
            f"images of input, but boxes[{k}] is {rois[k].tolist()}"
        ) from None


def _pool(features: Tensor, rois: Tensor, output_size: Pair, spatial_scale: float) -> Tensor:
    """Position by position of all bins at once, as many as the largest bin has."""
    channels, height, width = features.shape[1:]
    if len(rois) == 0:  # with a graph, so that gradients are zero
        return features[:0, :, :1, :1].expand(0, channels, *output_size).contiguous()
    # The map as rows of channels, so that a position of a bin is one index.
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    with torch.no_grad():
        (y, y_size), (x, x_size) = _grid(rois, output_size, spatial_scale, (height, width))
        empty = (y_size <= 0)[:, :, None] | (x_size <= 0)[:, None, :]
        batch_start = rois[:, 0].long() * (height * width)
        maxima = rows.new_full((len(rois), *output_size, channels), torch.finfo(rows.dtype).min)
        argmax = torch.full_like(maxima, -1, dtype=torch.long)
        for dy in range(int(y_size.max())):
            # Bins smaller than the largest see their last position again, which changes nothing.
            y_at = (y + (y_size - 1).clamp(max=dy)).clamp(0, height - 1)
            line_start = batch_start[:, None] + y_at * width
            for dx in range(int(x_size.max())):
                x_at = (x + (x_size - 1).clamp(max=dx)).clamp(0, width - 1)
                index = line_start[:, :, None] + x_at[:, None, :]
                values = rows[index]
                greater = values > maxima
                maxima = torch.where(greater, values, maxima)
                argmax = torch.where(greater, index[..., None], argmax)
        maxima.masked_fill_(empty[..., None], 0)
        argmax.masked_fill_(empty[..., None], -1)
    # The same values as `maxima`, but with a gradient.
    pooled = rows.gather(0, argmax.clamp(min=0).flatten(0, 2)).view(maxima.shape)
    pooled = torch.where(argmax >= 0, pooled, maxima)
    # By way of a vector, which leaves sizes of one no other strides.
    return pooled.permute(0, 3, 1, 2).reshape(-1).view(len(rois), channels, *output_size)


def _pool_without_loops(
    features: Tensor, rois: Tensor, output_size: Pair, spatial_scale: float
) -> Tensor:
    """The same by calls that do not depend on the sizes of the boxes.

    Any range of positions is the union of two whose length is a power of two. The
    maxima of all such ranges are computed once, in memory for log2(H) log2(W) feature maps.

    Raises:
        RuntimeError: the graph is to be for any height or width.
    """
    if any(isinstance(size, torch.SymInt) for size in features.shape[2:]):
        raise RuntimeError(
            "roi_pool(): height and width of the images must be constant in a graph of native's"
        )
    # Tables have as many levels as the map's size asks for.
    with _without_tracer_warnings() if _is_tracing() else nullcontext():
        channels, height, width = (int(size) for size in features.shape[1:])
    with torch.no_grad():
        (y, y_size), (x, x_size) = _grid(rois, output_size, spatial_scale, (height, width))
        empty = (y_size <= 0)[:, :, None] | (x_size <= 0)[:, None, :]
        y_level, *ys = _two_ranges(y, y_size, height)
        x_level, *xs = _two_ranges(x, x_size, width)
        image = rois[:, :1].long()
    least = torch.finfo(features.dtype).min
    maxima = features.permute(0, 2, 3, 1)
    maxima = torch.where(maxima > least, maxima, least)  # NaN is no maximum
    tables = _ranges_maxima(_ranges_maxima(maxima, 1, height), 3, width)  # (N, y, H, x, W, C)
    y_levels, x_levels = height.bit_length(), width.bit_length()
    rows = tables.flatten(0, -2)
    lines = [((image * y_levels + y_level) * height + y)[:, :, None] for y in ys]
    columns = [(x_level * width + x)[:, None, :] for x in xs]
    windows = (rows[line * (x_levels * width) + x] for line in lines for x in columns)
    pooled = reduce(torch.maximum, windows)
    pooled = pooled.masked_fill(empty[..., None], 0)
    return pooled.permute(0, 3, 1, 2).reshape(-1).view(rois.shape[0], channels, *output_size)


def _ranges_maxima(x: Tensor, dim: int, size: int) -> Tensor:
    """Maxima of 1, 2, 4, ... positions from each on along a dimension; a new one for these before.

    What reaches beyond the last position is some value.
    """
    levels, length = [x], 1
    while 2 * length <= size:
        first, second = x.narrow(dim, 0, size - length), x.narrow(dim, length, size - length)
        last = x.narrow(dim, size - length, length)
        x = torch.cat((torch.maximum(first, second), last), dim)
        levels.append(x)
        length *= 2
    return torch.stack(levels, dim)


def _two_ranges(begin: Tensor, count: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The binary logarithm of a length, and where two ranges of it begin that are a range.

    Ranges without a position become one position.
    """
    count = count.clamp(min=1)
    level, length = torch.zeros_like(count), torch.ones_like(count)
    for k in range(1, size.bit_length()):
        reached = (count >= 2**k).long()
        level, length = level + reached, length + reached * 2 ** (k - 1)
    begin = begin.clamp(max=size - 1)
    return level, begin, begin + count - length


def _grid(
    rois: Tensor, output_size: Pair, spatial_scale: float, size: Pair
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The bins of all boxes along the height and along the width of a map, as `_bins` has them."""
    left, top, right, bottom = _round_half_away(rois[:, 1:] * spatial_scale).unbind(1)
    return _bins(top, bottom, output_size[0], size[0]), _bins(left, right, output_size[1], size[1])


def _round_half_away(x: Tensor) -> Tensor:
    size = x.abs()
    whole = size.floor()
    whole = torch.where(size - whole >= 0.5, whole + 1, whole)
    return torch.where(x < 0, -whole, whole)


def _bins(first: Tensor, last: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Where the bins of boxes from ``first`` to ``last`` begin, and how many positions they have.

    Both are ``(K, bins)``, along one dimension of ``size`` positions.
    """
    extent = (last - first + 1).clamp(min=1)
    # By a tensor: CUDA multiplies by the inverse of a number, which may round another way.
    step = (extent / torch.full_like(extent, bins))[:, None]
    i = torch.arange(bins, dtype=step.dtype, device=step.device)
    begin = ((i * step).floor() + first[:, None]).clamp(0, size)
    end = (((i + 1) * step).ceil() + first[:, None]).clamp(0, size)
    return begin.long(), (end - begin).long()

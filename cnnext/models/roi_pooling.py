"""Max-pooling to a fixed size, of boxes of a feature map and of all of it at several sizes.

Girshick, "Fast R-CNN", ICCV 2015 (https://arxiv.org/abs/1504.08083); He, Zhang, Ren, Sun, "Spatial
pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014
(https://arxiv.org/abs/1406.4729).
"""

import warnings
from collections.abc import Sequence
from functools import reduce
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn

_is_tracing = torch.jit.is_tracing  # type: ignore[attr-defined]
_TracerWarning = torch.jit.TracerWarning  # type: ignore[attr-defined]


def roi_max_pool(
    features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float
) -> Tensor:
    """Maxima of each box over a grid of bins, as ``torchvision.ops.roi_pool``.

    Corners are rounded to whole positions of the feature map, halves away from zero, and both
    belong to the box, which is one position wide and high at least. Neighbouring bins share the
    positions that their border crosses. What lies outside of the map is left out; a bin of which
    nothing remains is 0. Differentiable with respect to ``features``: a bin's gradient goes to its
    maximum, of equal ones the first in row-major order.

    In programs of torch.export and in traces, which are also what is exported to ONNX, the height
    and width of ``features`` are constants, and equal maxima share the gradient. Of tensors on meta
    it gives the shape.

    Args:
        features: ``(N, C, H, W)``.
        rois: boxes ``(K, 5)``, each an index into the batch and x1, y1, x2, y2 in the image.
        output_size: bins in height and width.
        spatial_scale: size of the feature map over that of the image.

    Returns:
        ``(K, C, *output_size)``.
    """
    if isinstance(output_size, int):
        output_size = (output_size, output_size)
    if features.is_meta or torch.compiler.is_exporting() or _is_tracing():
        return _pool_without_loops(features, rois, output_size, spatial_scale)
    channels, height, width = features.shape[1:]
    if len(rois) == 0:
        return features.new_zeros((0, channels, *output_size))
    # The map as rows of channels, so that a position of a bin is one index.
    rows = features.permute(0, 2, 3, 1).reshape(-1, channels)
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
    pooled = rows.gather(0, argmax.clamp(min=0).view(-1, channels)).view(maxima.shape)
    pooled = torch.where(argmax >= 0, pooled, maxima)
    return pooled.permute(0, 3, 1, 2).contiguous()


def _pool_without_loops(
    features: Tensor, rois: Tensor, output_size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """The same by calls that do not depend on the sizes of the boxes.

    Any range of positions is the union of two whose length is a power of two. The
    maxima of all such ranges are computed once, in memory for log2(H) log2(W) feature maps.

    Raises:
        RuntimeError: torch.export is to make a program for any height or width.
    """
    if any(isinstance(size, torch.SymInt) for size in features.shape[2:]):
        raise RuntimeError(
            "roi_max_pool(): height and width of the images must be constant in an exported program"
        )
    with warnings.catch_warnings():
        # Tables have as many levels as the map's size asks for.
        warnings.simplefilter("ignore", _TracerWarning)
        channels, height, width = (int(size) for size in features.shape[1:])
    with torch.no_grad():
        (y, y_size), (x, x_size) = _grid(rois, output_size, spatial_scale, (height, width))
        empty = (y_size <= 0)[:, :, None] | (x_size <= 0)[:, None, :]
        y_level, *ys = _two_ranges(y, y_size, height)
        x_level, *xs = _two_ranges(x, x_size, width)
        image = rois[:, 0].long()[:, None]
    least = torch.finfo(features.dtype).min
    maxima = features.permute(0, 2, 3, 1)
    maxima = torch.where(maxima > least, maxima, least)  # NaN is no maximum
    tables = _ranges_maxima(_ranges_maxima(maxima, 1, height), 3, width)  # (N, y, H, x, W, C)
    y_levels, x_levels = height.bit_length(), width.bit_length()
    rows = tables.reshape(-1, channels)
    lines = [((image * y_levels + y_level) * height + y)[:, :, None] for y in ys]
    columns = [(x_level * width + x)[:, None, :] for x in xs]
    windows = (rows[line * (x_levels * width) + x] for line in lines for x in columns)
    pooled = reduce(torch.maximum, windows)
    pooled = pooled.masked_fill(empty[..., None], 0)
    return pooled.permute(0, 3, 1, 2).contiguous()


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
    rois: Tensor, output_size: tuple[int, int], spatial_scale: float, size: tuple[int, int]
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


def spatial_pyramid_pool(
    features: Tensor, levels: Sequence[int] = (4, 2, 1), layers: ModuleType = nn
) -> Tensor:
    """Maxima over grids of several sizes, as one vector an image, whatever the image's size.

    Args:
        features: ``(N, C, H, W)``.
        levels: bins of each grid in height and width; the paper's first is the finest.
        layers: namespace the function is taken from, ``cnnext.nn`` or ``torch.nn``.

    Returns:
        ``(N, C * sum(level**2 for level in levels))``.
    """
    pool = layers.functional.adaptive_max_pool2d
    return torch.cat([pool(features, level).flatten(1) for level in levels], dim=1)

"""Max-pooling to a fixed size, of boxes of a feature map and of all of it at several sizes.

Girshick, "Fast R-CNN", ICCV 2015 (https://arxiv.org/abs/1504.08083); He, Zhang, Ren, Sun, "Spatial
pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014
(https://arxiv.org/abs/1406.4729).
"""

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


def roi_max_pool(
    features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float
) -> Tensor:
    """Maxima of each box over a grid of bins, as ``torchvision.ops.roi_pool``.

    Corners are rounded to whole positions of the feature map, halves away from zero, and both
    belong to the box, which is one position wide and high at least. Neighbouring bins share the
    positions that their border crosses. What lies outside of the map is left out; a bin of which
    nothing remains is 0. Differentiable with respect to ``features``: a bin's gradient goes to its
    maximum, of equal ones the first in row-major order.

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
    channels, height, width = features.shape[1:]
    if len(rois) == 0:
        return features.new_zeros((0, channels, *output_size))
    # The map as rows of channels, so that a position of a bin is one index.
    rows = features.permute(0, 2, 3, 1).reshape(-1, channels)
    with torch.no_grad():
        left, top, right, bottom = _round_half_away(rois[:, 1:] * spatial_scale).unbind(1)
        y, y_size = _bins(top, bottom, output_size[0], height)
        x, x_size = _bins(left, right, output_size[1], width)
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


def _round_half_away(x: Tensor) -> Tensor:
    whole = x.trunc()
    return whole + torch.where((x - whole).abs() >= 0.5, x.sign(), 0)


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

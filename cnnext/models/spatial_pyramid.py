"""Max-pooling of a feature map at several sizes.

He, Zhang, Ren, Sun, "Spatial pyramid pooling in deep convolutional networks for visual
recognition", ECCV 2014 (https://arxiv.org/abs/1406.4729).
"""

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


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


class SpatialPyramidPool(torch.nn.Module):
    """:func:`spatial_pyramid_pool` as a module.

    Args:
        levels: bins of each grid in height and width.
        layers: namespace the pools are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, C, H, W)``
        - Output: ``(N, C * sum(level**2 for level in levels))``
    """

    def __init__(self, levels: Sequence[int] = (4, 2, 1), layers: ModuleType = nn) -> None:
        super().__init__()
        self.pools = torch.nn.ModuleList(layers.AdaptiveMaxPool2d(level) for level in levels)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([pool(features).flatten(1) for pool in self.pools], dim=1)

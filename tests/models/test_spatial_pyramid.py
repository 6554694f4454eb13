"""Spatial pyramid pooling, as a function and as a module."""

import math

import pytest
import torch

import cnnext
from cnnext.models.spatial_pyramid import SpatialPyramidPool, spatial_pyramid_pool

SEED = 20261129


@pytest.mark.parametrize("size", [(13, 9), (4, 4), (3, 2)])
def test_spatial_pyramid_is_its_levels_side_by_side(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randn((2, 3, *size), generator=generator)
    pooled = spatial_pyramid_pool(features)
    assert pooled.shape == (2, 3 * (16 + 4 + 1))
    assert torch.equal(pooled[:, -3:], features.amax((2, 3)))
    rows, columns = math.ceil(size[0] / 2), math.ceil(size[1] / 2)
    assert torch.equal(pooled[:, 48:-3:4], features[..., :rows, :columns].amax((2, 3)))
    assert torch.equal(pooled, spatial_pyramid_pool(features, layers=torch.nn))
    assert torch.equal(pooled[:, 48:-3], spatial_pyramid_pool(features, (2,), cnnext.nn))
    assert torch.equal(pooled, SpatialPyramidPool()(features))
    assert torch.equal(pooled, SpatialPyramidPool(layers=torch.nn)(features))

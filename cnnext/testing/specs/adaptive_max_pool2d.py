"""adaptive_max_pool2d."""

from __future__ import annotations

import torch

from cnnext.ops.adaptive_max_pool2d import ADAPTIVE_MAX_POOL2D
from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.spec import Arguments
from cnnext.testing.specs._pools import (
    GRADIENT,
    INPUT,
    SIZE_IN,
    SIZE_OUT,
    adaptive_pool,
    far_apart,
)

ADAPTIVE_MAX_POOLS = (
    AdaptivePool2dCase("cbam_channel_256@56", 1, 256, 56, 56, (1, 1)),
    AdaptivePool2dCase("sppnet_pool_6", 1, 256, 13, 13, (6, 6)),
    AdaptivePool2dCase("sppnet_pool_3", 1, 256, 13, 13, (3, 3)),
)

SPEC = adaptive_pool(
    ADAPTIVE_MAX_POOL2D,
    ADAPTIVE_MAX_POOLS,
    results="selected",
    options={"return_indices": True},
    smooth=far_apart,
    raw={
        "adaptive_max_pool2d_forward": Arguments({**INPUT, **SIZE_OUT, "record": True}),
        "adaptive_max_pool2d_backward": Arguments(
            {**GRADIENT, "indices": torch.full((2, 4, 3, 3), 7), **SIZE_IN}
        ),
    },
)

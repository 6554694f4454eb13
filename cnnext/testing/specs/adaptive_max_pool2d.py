"""adaptive_max_pool2d."""

from __future__ import annotations

import torch

from cnnext.ops.adaptive_max_pool2d import ADAPTIVE_MAX_POOL2D
from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Layer, OperatorSpec
from cnnext.testing.specs._pools import GRADIENT, INPUT, SIZE_IN, SIZE_OUT, far_apart
from cnnext.testing.specs.adaptive_avg_pool2d import (
    CORNER_ADAPTIVE_POOLS,
    EDGE_ADAPTIVE_POOLS,
    GPU_ADAPTIVE_POOLS,
    TINY_ADAPTIVE_POOLS,
    TYPICAL_ADAPTIVE_POOLS,
)

ADAPTIVE_MAX_POOLS = (
    AdaptivePool2dCase("cbam_channel_256@56", 1, 256, 56, 56, (1, 1)),
    AdaptivePool2dCase("sppnet_pool_6", 1, 256, 13, 13, (6, 6)),
    AdaptivePool2dCase("sppnet_pool_3", 1, 256, 13, 13, (3, 3)),
)

_ARGUMENTS = Arguments({**INPUT, "output_size": 2, "return_indices": True})

SPEC = OperatorSpec(
    ADAPTIVE_MAX_POOL2D,
    results="selected",
    in_layouts=True,
    cases=ADAPTIVE_MAX_POOLS,
    edge_cases=EDGE_ADAPTIVE_POOLS,
    gpu_cases=GPU_ADAPTIVE_POOLS,
    typical_cases=TYPICAL_ADAPTIVE_POOLS,
    corner_cases=CORNER_ADAPTIVE_POOLS,
    tiny_cases=TINY_ADAPTIVE_POOLS,
    smooth=far_apart,
    shapes=(IMAGES,),
    options=((4, 3),),
    layers=(Layer("AdaptiveMaxPool2d", ((4, 3),), (IMAGES,)),),
    calls={"adaptive_max_pool2d": _ARGUMENTS},
    modules={"AdaptiveMaxPool2d": _ARGUMENTS},
    raw={
        "adaptive_max_pool2d_forward": Arguments({**INPUT, **SIZE_OUT, "record": True}),
        "adaptive_max_pool2d_backward": Arguments(
            {**GRADIENT, "indices": torch.full((2, 4, 3, 3), 7), **SIZE_IN}
        ),
    },
)

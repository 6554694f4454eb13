"""adaptive_avg_pool2d."""

from __future__ import annotations

from cnnext.ops.adaptive_avg_pool2d import ADAPTIVE_AVG_POOL2D
from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.spec import Arguments
from cnnext.testing.specs._pools import GRADIENT, INPUT, SIZE_IN, SIZE_OUT, adaptive_pool

ADAPTIVE_AVG_POOLS = (
    AdaptivePool2dCase("resnet50_avgpool", 1, 2048, 7, 7, (1, 1)),
    AdaptivePool2dCase("vgg16_avgpool", 1, 512, 7, 7, (7, 7)),
    AdaptivePool2dCase("mobilenet_v3_squeeze_72@28", 1, 72, 28, 28, (1, 1)),
    AdaptivePool2dCase("pspnet_pool_6", 1, 2048, 60, 60, (6, 6)),
)

SPEC = adaptive_pool(
    ADAPTIVE_AVG_POOL2D,
    ADAPTIVE_AVG_POOLS,
    results="averages",
    options={},
    raw={
        "adaptive_avg_pool2d_forward": Arguments({**INPUT, **SIZE_OUT}),
        "adaptive_avg_pool2d_backward": Arguments({**GRADIENT, **SIZE_IN, "channels_last": False}),
    },
)

"""adaptive_avg_pool2d."""

from __future__ import annotations

from cnnext.ops.adaptive_avg_pool2d import ADAPTIVE_AVG_POOL2D
from cnnext.testing.cases import VECTOR_SIZES, AdaptivePool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Layer, OperatorSpec
from cnnext.testing.specs._pools import GRADIENT, INPUT, SIZE_IN, SIZE_OUT

ADAPTIVE_AVG_POOLS = (
    AdaptivePool2dCase("resnet50_avgpool", 1, 2048, 7, 7, (1, 1)),
    AdaptivePool2dCase("vgg16_avgpool", 1, 512, 7, 7, (7, 7)),
    AdaptivePool2dCase("mobilenet_v3_squeeze_72@28", 1, 72, 28, 28, (1, 1)),
    AdaptivePool2dCase("pspnet_pool_6", 1, 2048, 60, 60, (6, 6)),
)

#: Shared by both adaptive pools.
EDGE_ADAPTIVE_POOLS = (
    *(AdaptivePool2dCase(f"edge_adaptive_width_{w}", 2, 3, 6, w, (3, 4)) for w in VECTOR_SIZES),
    *(AdaptivePool2dCase(f"edge_adaptive_channels_{c}", 1, c, 7, 5, (3, 2)) for c in VECTOR_SIZES),
    AdaptivePool2dCase("edge_adaptive_global", 2, 9, 7, 5, (1, 1)),
    AdaptivePool2dCase("edge_adaptive_columns", 1, 5, 9, 37, (1, 37)),
    AdaptivePool2dCase("edge_adaptive_rows", 1, 5, 37, 9, (37, 1)),
    AdaptivePool2dCase("edge_adaptive_larger_output", 1, 3, 4, 5, (7, 11)),
    AdaptivePool2dCase("edge_adaptive_identity", 1, 17, 6, 5, (6, 5)),
    AdaptivePool2dCase("edge_adaptive_large_plane", 1, 2, 70, 91, (2, 3)),
    AdaptivePool2dCase("edge_adaptive_two_channel_blocks", 1, 259, 4, 4, (3, 2)),
    AdaptivePool2dCase("edge_adaptive_empty_batch", 0, 3, 6, 6, (2, 2)),
)

#: Shared, too.
TYPICAL_ADAPTIVE_POOLS = (
    AdaptivePool2dCase("uneven", 2, 9, 8, 10, (3, 4)),
    AdaptivePool2dCase("global", 2, 9, 5, 4, (1, 1)),
)
CORNER_ADAPTIVE_POOLS = tuple(
    AdaptivePool2dCase("corner", *shape, size)
    for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
    for size in ((1, 1), (2, 3))
)
TINY_ADAPTIVE_POOLS = tuple(
    AdaptivePool2dCase("tiny", 2, 2, 5, 7, size) for size in ((1, 1), (2, 3), (5, 7), (8, 4))
)

_ARGUMENTS = Arguments({**INPUT, "output_size": 2})

#: Uneven windows.
GPU_ADAPTIVE_POOLS = (AdaptivePool2dCase("several_blocks", 2, 5, 17, 19, (8, 13)),)


SPEC = OperatorSpec(
    ADAPTIVE_AVG_POOL2D,
    results="averages",
    in_layouts=True,
    cases=ADAPTIVE_AVG_POOLS,
    edge_cases=EDGE_ADAPTIVE_POOLS,
    gpu_cases=GPU_ADAPTIVE_POOLS,
    typical_cases=TYPICAL_ADAPTIVE_POOLS,
    corner_cases=CORNER_ADAPTIVE_POOLS,
    tiny_cases=TINY_ADAPTIVE_POOLS,
    shapes=(IMAGES,),
    options=((4, 3),),
    layers=(Layer("AdaptiveAvgPool2d", ((4, 3),), (IMAGES,)),),
    calls={"adaptive_avg_pool2d": _ARGUMENTS},
    modules={"AdaptiveAvgPool2d": _ARGUMENTS},
    raw={
        "adaptive_avg_pool2d_forward": Arguments({**INPUT, **SIZE_OUT}),
        "adaptive_avg_pool2d_backward": Arguments({**GRADIENT, **SIZE_IN, "channels_last": False}),
    },
)

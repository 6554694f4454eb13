"""avg_pool2d."""

from __future__ import annotations

from cnnext.ops.avg_pool2d import AVG_POOL2D
from cnnext.testing.cases import VECTOR_SIZES, AvgPool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Layer, OperatorSpec
from cnnext.testing.specs._pools import GRADIENT, INPUT, OPTIONS, SIZE_IN, SIZE_OUT, WINDOW

AVG_POOLS = (
    AvgPool2dCase("lenet5_avg_pool1", 64, 6, 28, 28, (2, 2), (2, 2)),
    AvgPool2dCase("densenet121_transition1", 1, 128, 56, 56, (2, 2), (2, 2)),
    AvgPool2dCase("densenet121_transition3", 1, 512, 14, 14, (2, 2), (2, 2)),
    AvgPool2dCase("inception_v3_mixed5b_pool", 1, 192, 35, 35, (3, 3), (1, 1), (1, 1)),
)

EDGE_AVG_POOLS = (
    *(AvgPool2dCase(f"edge_avg_width_{w}", 2, 3, 6, w + 1, (2, 2), (2, 2)) for w in VECTOR_SIZES),
    *(
        AvgPool2dCase(f"edge_avg_channels_{c}", 1, c, 6, 7, (3, 3), (2, 2), (1, 1))
        for c in VECTOR_SIZES
    ),
    AvgPool2dCase("edge_avg_overlapping", 1, 5, 9, 9, (3, 3), (1, 1), (1, 1)),
    AvgPool2dCase("edge_avg_asymmetric", 1, 4, 9, 11, (2, 3), (3, 1), (1, 0)),
    AvgPool2dCase("edge_avg_stride_above_kernel", 1, 4, 11, 11, (2, 2), (4, 3)),
    AvgPool2dCase("edge_avg_uncounted", 1, 4, 7, 8, (3, 4), (2, 2), (1, 2), False, False),
    AvgPool2dCase("edge_avg_ceil", 1, 4, 8, 8, (3, 3), (2, 2), (0, 0), True),
    AvgPool2dCase("edge_avg_ceil_padded", 1, 4, 7, 6, (2, 2), (2, 2), (1, 1), True),
    AvgPool2dCase("edge_avg_ceil_uncounted", 1, 4, 7, 6, (4, 4), (3, 3), (2, 1), True, False),
    AvgPool2dCase("edge_avg_divisor", 1, 9, 7, 6, (3, 2), (2, 2), (1, 1), True, False, 5),
    AvgPool2dCase("edge_avg_divisor_negative", 1, 3, 6, 6, (2, 2), (1, 1), divisor_override=-3),
    AvgPool2dCase("edge_avg_global", 2, 9, 7, 5, (7, 5), (7, 5)),
    AvgPool2dCase("edge_avg_large_window", 1, 2, 40, 37, (31, 30), (3, 4), (15, 15)),
    AvgPool2dCase("edge_avg_two_channel_blocks", 1, 259, 4, 4, (2, 2), (2, 2)),
    AvgPool2dCase("edge_avg_empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)

_DIVISOR = {"count_include_pad": True, "divisor_override": 5}
_ARGUMENTS = Arguments({**INPUT, **OPTIONS, "ceil_mode": False, **_DIVISOR})

#: Windows that meet in many ways.
_SEVERAL_BLOCKS = AvgPool2dCase("several_blocks", 2, 5, 17, 19, (3, 4), (2, 1), (1, 2), True, False)

SPEC = OperatorSpec(
    AVG_POOL2D,
    results="averages",
    in_layouts=True,
    cases=AVG_POOLS,
    edge_cases=EDGE_AVG_POOLS,
    gpu_cases=(_SEVERAL_BLOCKS,),
    typical_cases=(
        AvgPool2dCase("plain", 2, 9, 8, 10, (2, 2), (2, 2)),
        AvgPool2dCase("all_options", 2, 9, 11, 9, (3, 2), (2, 1), (1, 1), True, False, 7),
    ),
    corner_cases=tuple(
        AvgPool2dCase("corner", *shape, kernel, (1, 1), padding)
        for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
        for kernel, padding in (((1, 1), (0, 0)), ((2, 2), (1, 1)))
    ),
    tiny_cases=(
        AvgPool2dCase("plain", 2, 2, 5, 7, (2, 2), (2, 2)),
        AvgPool2dCase("uncounted", 2, 2, 5, 7, (3, 3), (1, 1), (1, 1), False, False),
        AvgPool2dCase("ceil", 2, 2, 5, 7, (2, 3), (2, 1), (1, 0), True),
        AvgPool2dCase("divisor", 2, 2, 5, 7, (2, 2), (2, 2), divisor_override=-3),
    ),
    shapes=(IMAGES,),
    options=(2, None, 1),  # kernel_size, stride, padding
    layers=(Layer("AvgPool2d", (2,), (IMAGES,), {"padding": 1}),),
    calls={"avg_pool2d": _ARGUMENTS},
    modules={"AvgPool2d": _ARGUMENTS},
    raw={
        "avg_pool2d_forward": Arguments({**INPUT, **SIZE_OUT, **WINDOW, **_DIVISOR}),
        "avg_pool2d_backward": Arguments(
            {**GRADIENT, **SIZE_IN, "channels_last": False, **WINDOW, **_DIVISOR}
        ),
    },
)

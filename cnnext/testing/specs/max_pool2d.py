"""max_pool2d."""

from __future__ import annotations

import torch

from cnnext.ops.max_pool2d import MAX_POOL2D
from cnnext.testing.cases import VECTOR_SIZES, MaxPool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec
from cnnext.testing.specs._pools import (
    GRADIENT,
    INPUT,
    OPTIONS,
    SIZE_IN,
    SIZE_OUT,
    WINDOW,
    far_apart,
)

POOLS = (
    MaxPool2dCase("lenet5_pool1", 64, 6, 28, 28, (2, 2), (2, 2)),
    MaxPool2dCase("lenet5_pool2", 64, 16, 10, 10, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool1", 1, 64, 224, 224, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool2", 1, 128, 112, 112, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool3", 1, 256, 56, 56, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool4", 1, 512, 28, 28, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool5", 1, 512, 14, 14, (2, 2), (2, 2)),
    MaxPool2dCase("resnet50_pool", 1, 64, 112, 112, (3, 3), (2, 2), (1, 1)),
)

EDGE_POOLS = (
    *(MaxPool2dCase(f"edge_pool_width_{w}", 2, 3, 6, w + 1, (2, 2), (2, 2)) for w in VECTOR_SIZES),
    *(
        MaxPool2dCase(f"edge_pool_channels_{c}", 1, c, 6, 7, (3, 3), (2, 2), (1, 1))
        for c in VECTOR_SIZES
    ),
    MaxPool2dCase("edge_pool_overlapping", 1, 5, 9, 9, (3, 3), (1, 1), (1, 1)),
    MaxPool2dCase("edge_pool_asymmetric", 1, 4, 9, 11, (2, 3), (3, 1), (1, 0)),
    MaxPool2dCase("edge_pool_stride_above_kernel", 1, 4, 11, 11, (2, 2), (4, 3)),
    MaxPool2dCase("edge_pool_dilated", 1, 4, 11, 12, (3, 2), (2, 2), (1, 1), (2, 3)),
    MaxPool2dCase("edge_pool_ceil", 1, 4, 8, 8, (3, 3), (2, 2), (0, 0), (1, 1), True),
    MaxPool2dCase("edge_pool_ceil_padded", 1, 4, 7, 6, (2, 2), (2, 2), (1, 1), (1, 1), True),
    MaxPool2dCase("edge_pool_global", 2, 9, 7, 5, (7, 5), (7, 5)),
    MaxPool2dCase("edge_pool_window_above_256", 1, 2, 18, 17, (17, 17), (1, 1), (8, 8)),
    MaxPool2dCase("edge_pool_empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)

_OPTIONS = {**OPTIONS, "dilation": 1, "ceil_mode": False, "return_indices": True}
_ARGUMENTS = Arguments({**INPUT, **_OPTIONS})
_WINDOW = {**WINDOW, "dilation_h": 1, "dilation_w": 1}
_WHERE = {"where": torch.full((2, 4, 3, 3), 4, dtype=torch.uint8)}

#: Windows that meet in many ways.
_GPU_POOLS = (
    MaxPool2dCase("dilated_and_overlapping", 2, 3, 11, 9, (3, 2), (2, 1), (1, 1), (2, 3)),
    MaxPool2dCase("several_blocks", 2, 5, 17, 19, (3, 3), (2, 2), (1, 1)),
    *POOLS[:2],
)

SPEC = OperatorSpec(
    MAX_POOL2D,
    results="selected",
    in_layouts=True,
    cases=POOLS,
    edge_cases=EDGE_POOLS,
    gpu_cases=_GPU_POOLS,
    typical_cases=(
        MaxPool2dCase("plain", 2, 9, 8, 10, (2, 2), (2, 2)),
        MaxPool2dCase("resnet", 2, 9, 9, 9, (3, 3), (2, 2), (1, 1)),
        MaxPool2dCase("all_options", 2, 9, 11, 9, (3, 2), (2, 1), (1, 1), (1, 2), True),
        MaxPool2dCase("window_above_256", 1, 2, 18, 18, (17, 17), (2, 2), (8, 8)),
    ),
    corner_cases=(
        MaxPool2dCase("one_channel", 2, 1, 5, 6, (2, 2), (2, 2)),
        MaxPool2dCase("one_pixel", 2, 3, 1, 1, (1, 1), (1, 1)),
        MaxPool2dCase("one_output_pixel", 2, 3, 4, 5, (4, 5), (4, 5)),
        MaxPool2dCase("one_row", 2, 3, 1, 6, (1, 2), (1, 2)),
        MaxPool2dCase("one_column", 2, 3, 6, 1, (2, 1), (2, 1)),
        MaxPool2dCase("one_image", 1, 3, 5, 6, (2, 2), (2, 2)),
        MaxPool2dCase("one_of_all", 1, 1, 1, 1, (1, 1), (1, 1)),
        MaxPool2dCase("window_of_256", 1, 2, 16, 18, (16, 16), (1, 1)),
    ),
    tiny_cases=(
        MaxPool2dCase("plain", 2, 2, 5, 7, (2, 2), (2, 2)),
        MaxPool2dCase("padded", 2, 2, 5, 7, (3, 3), (1, 1), (1, 1)),
        MaxPool2dCase("dilated", 2, 2, 5, 7, (2, 3), (2, 1), (1, 0), (1, 2)),
        MaxPool2dCase("ceil", 2, 2, 5, 7, (2, 2), (2, 2), ceil_mode=True),
        MaxPool2dCase("positions", 2, 2, 5, 7, (17, 17), (1, 1), (8, 8)),
    ),
    smooth=far_apart,
    shapes=(IMAGES,),
    options=(2,),
    layers=(Layer("MaxPool2d", (2,), (IMAGES,)),),
    calls={
        "max_pool2d": _ARGUMENTS,
        "max_pool2d-unbatched": Arguments(
            {**_OPTIONS, "return_indices": False}, {"input": Drawn(4, 6, 6)}
        ),
    },
    modules={"MaxPool2d": _ARGUMENTS},
    raw={
        "max_pool2d_forward": Arguments({**INPUT, **SIZE_OUT, **_WINDOW, "record": True}),
        "max_pool2d_backward": Arguments({**GRADIENT, **_WHERE, **SIZE_IN, **_WINDOW}),
        "max_pool2d_indices": Arguments({**_WHERE, **SIZE_IN, **_WINDOW}),
    },
)

"""conv2d; `cnnext.testing.conv2d_cases` lists its convolutions."""

from __future__ import annotations

from cnnext.ops.conv2d import CONV2D
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import (
    ALEXNET,
    EDGE,
    GOOGLENET,
    GPU,
    LENET5,
    RESNET50,
    VGG16,
)
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

_INPUT, _WEIGHT, _BIAS = Drawn(2, 4, 6, 6), Drawn(6, 2, 3, 3), Drawn(6)
_GRADIENT = Drawn(2, 6, 4, 4)
_OPERANDS = {"input": _INPUT, "weight": _WEIGHT, "bias": _BIAS}
_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}
_GEOMETRY = {
    **{"stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0},
    **{"dilation_h": 1, "dilation_w": 1, "groups": 2},
}
_SIZE_IN = {"h_in": 6, "w_in": 6}

SPEC = OperatorSpec(
    CONV2D,
    results="sums",
    in_layouts=True,
    weights=(1,),
    cases=(
        *(case.with_batch(64) for case in LENET5),
        *ALEXNET,
        *VGG16,
        *GOOGLENET,
        *RESNET50,
    ),
    edge_cases=EDGE,
    gpu_cases=GPU,
    typical_cases=(
        Conv2dCase("plain", 2, 9, 6, 7, 17, 3, 3, padding=(1, 1)),
        Conv2dCase("pointwise", 2, 9, 6, 7, 17, 1, 1),
        Conv2dCase("depthwise_s2", 2, 8, 6, 7, 8, 3, 3, (2, 2), (1, 1), (1, 1), 8),
        Conv2dCase("all_options", 2, 4, 7, 9, 6, 2, 3, (2, 1), (1, 2), (1, 2), 2),
    ),
    corner_cases=(
        Conv2dCase("one_channel_in", 2, 1, 5, 6, 4, 3, 3),
        Conv2dCase("one_channel_out", 2, 3, 5, 6, 1, 3, 3),
        Conv2dCase("one_channel", 2, 1, 5, 6, 1, 3, 3),
        Conv2dCase("one_pixel", 2, 3, 1, 1, 4, 1, 1),
        Conv2dCase("one_output_pixel", 2, 3, 3, 3, 4, 3, 3),
        Conv2dCase("one_row", 2, 3, 1, 6, 4, 1, 3),
        Conv2dCase("one_column", 2, 3, 6, 1, 4, 3, 1),
        Conv2dCase("one_image", 1, 3, 5, 6, 4, 3, 3),
        Conv2dCase("one_of_all", 1, 1, 1, 1, 1, 1, 1),
    ),
    tiny_cases=(
        Conv2dCase("plain", 1, 2, 4, 3, 2, 3, 2),
        Conv2dCase("all_options", 2, 4, 5, 6, 2, 2, 3, (2, 1), (1, 2), (1, 2), 2),
        Conv2dCase("pointwise", 2, 3, 2, 2, 2, 1, 1),
        Conv2dCase("depthwise", 1, 3, 4, 4, 3, 3, 3, padding=(1, 1), groups=3),
    ),
    shapes=(IMAGES, (4, 3, 3, 3), (4,)),
    options=(1, 1),  # stride, padding
    layers=(Layer("Conv2d", (3, 4, 3), (IMAGES,), {"padding": 1}),),
    calls={
        "conv2d": Arguments({**_OPERANDS, **_OPTIONS}),
        "conv2d-unbatched": Arguments(_OPTIONS, {**_OPERANDS, "input": Drawn(4, 6, 6)}),
    },
    modules={
        "Conv2d": Arguments(
            {
                **{"input": _INPUT, "in_channels": 4, "out_channels": 6, "kernel_size": 3},
                **{**_OPTIONS, "bias": True, "padding_mode": "zeros"},
            }
        ),
        "Conv2d-reflect": Arguments(
            {"input": _INPUT, "kernel_size": 3, "padding": 1},
            {"in_channels": 4, "out_channels": 6, "padding_mode": "reflect"},
        ),
    },
    raw={
        "conv2d_forward": Arguments({**_OPERANDS, **_GEOMETRY}),
        "conv2d_backward_input": Arguments(
            {"grad_output": _GRADIENT, "weight": _WEIGHT, **_SIZE_IN, **_GEOMETRY}
        ),
        "conv2d_backward_input_": Arguments(
            {"self": _INPUT, "grad_output": _GRADIENT, "weight": _WEIGHT, **_GEOMETRY}
        ),
        "conv2d_backward_weight": Arguments(
            {"grad_output": _GRADIENT, "input": _INPUT, "weight": _WEIGHT, **_GEOMETRY}
        ),
        "conv2d_backward_bias": Arguments({"grad_output": _GRADIENT}),
        "conv2d_planned": Arguments(
            {**_OPERANDS, "geometry": tuple(_GEOMETRY.values()), "owner": 1, "version": -1}
        ),
        "conv2d_value_facts": Arguments(
            {
                **{"direction": "forward", "first": _INPUT, "weight": _WEIGHT},
                **{**_SIZE_IN, **_GEOMETRY, "weights_packed": False, "threads": 1},
            }
        ),
    },
)

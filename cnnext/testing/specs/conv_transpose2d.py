"""conv_transpose2d, which runs conv2d's kernels."""

from __future__ import annotations

from cnnext.ops.conv_transpose2d import CONV_TRANSPOSE2D
from cnnext.testing.cases import VECTOR_SIZES, ConvTranspose2dCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

#: U-Net's for images of 128 pixels, and a generator's (Radford et al. 2016) from 4 pixels on.
CASES = (
    *(
        ConvTranspose2dCase(f"unet_up_{c}@{side}", 4, c, side, side, c // 2, 2, 2, (2, 2))
        for c, side in ((1024, 8), (512, 16), (256, 32), (128, 64))
    ),
    *(
        ConvTranspose2dCase(f"dcgan_{c}@{side}", 8, c, side, side, out, 4, 4, (2, 2), (1, 1))
        for c, side, out in ((512, 4, 256), (256, 8, 128), (128, 16, 64), (64, 32, 3))
    ),
)

EDGE = (
    *(
        ConvTranspose2dCase(f"edge_up_channels_{c}", 2, c, 3, 4, c + 1, 2, 2, (2, 2))
        for c in VECTOR_SIZES
    ),
    ConvTranspose2dCase("edge_up_stride_above_kernel", 2, 5, 4, 3, 6, 2, 1, (3, 2)),
    ConvTranspose2dCase("edge_up_padding", 2, 5, 4, 5, 6, 4, 3, (2, 1), (3, 1), (1, 0)),
    ConvTranspose2dCase("edge_up_depthwise", 2, 17, 4, 5, 17, 3, 3, (2, 2), (1, 1), (1, 1), 17),
    ConvTranspose2dCase("edge_up_empty_batch", 0, 3, 6, 6, 4, 3, 3),
)

_INPUT, _WEIGHT, _BIAS = Drawn(2, 4, 5, 5), Drawn(4, 3, 3, 3), Drawn(6)
_OPERANDS = {"input": _INPUT, "weight": _WEIGHT, "bias": _BIAS}
_OPTIONS = {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 1, "groups": 2}
_GEOMETRY = {
    **{"stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1},
    **{"dilation_h": 1, "dilation_w": 1, "groups": 2},
}

SPEC = OperatorSpec(
    CONV_TRANSPOSE2D,
    results="sums",
    in_layouts=True,
    weights=(1,),
    runs=("conv2d",),
    cases=CASES,
    edge_cases=EDGE,
    typical_cases=(
        ConvTranspose2dCase("up", 2, 9, 6, 7, 17, 2, 2, (2, 2)),
        ConvTranspose2dCase("plain", 2, 9, 6, 7, 17, 3, 3, padding=(1, 1)),
        ConvTranspose2dCase("all_options", 2, 4, 5, 6, 6, 2, 3, (3, 2), (1, 2), (2, 1), 2, (1, 2)),
    ),
    corner_cases=(
        ConvTranspose2dCase("one_channel_in", 2, 1, 5, 6, 4, 3, 3),
        ConvTranspose2dCase("one_channel_out", 2, 3, 5, 6, 1, 3, 3),
        ConvTranspose2dCase("one_pixel", 2, 3, 1, 1, 4, 1, 1),
        ConvTranspose2dCase("one_input_pixel", 2, 3, 1, 1, 4, 3, 3),
        ConvTranspose2dCase("one_row", 2, 3, 1, 6, 4, 1, 3),
        ConvTranspose2dCase("one_column", 2, 3, 6, 1, 4, 3, 1),
        ConvTranspose2dCase("one_image", 1, 3, 5, 6, 4, 3, 3),
        ConvTranspose2dCase("one_of_all", 1, 1, 1, 1, 1, 1, 1),
    ),
    tiny_cases=(
        ConvTranspose2dCase("up", 1, 2, 3, 2, 2, 2, 2, (2, 2)),
        ConvTranspose2dCase("all_options", 1, 2, 2, 3, 4, 2, 3, (3, 2), (1, 2), (2, 1), 2, (1, 2)),
    ),
    shapes=(IMAGES, (3, 4, 3, 3), (4,)),
    options=(2, 1, 1),  # stride, padding, output_padding
    layers=(Layer("ConvTranspose2d", (3, 4, 2), (IMAGES,), {"stride": 2}),),
    calls={
        "conv_transpose2d": Arguments({**_OPERANDS, **_OPTIONS}),
        "conv_transpose2d-unbatched": Arguments(_OPTIONS, {**_OPERANDS, "input": Drawn(4, 5, 5)}),
    },
    modules={
        "ConvTranspose2d": Arguments(
            {
                **{"input": _INPUT, "in_channels": 4, "out_channels": 6, "kernel_size": 3},
                **{**_OPTIONS, "bias": True, "padding_mode": "zeros"},
            }
        ),
    },
    raw={
        "conv_transpose2d_forward": Arguments({**_OPERANDS, "h_out": 10, "w_out": 10, **_GEOMETRY}),
    },
)

"""conv3d, which runs conv2d's kernels on windows of slices."""

from __future__ import annotations

from cnnext.ops.conv3d import CONV3D
from cnnext.testing.cases import VECTOR_SIZES, Conv3dCase
from cnnext.testing.spec import Arguments, Drawn, Layer, OperatorSpec

_CUBE, _ONES = (3, 3, 3), (1, 1, 1)

#: Those of networks for films (C3D, R3D-18, R(2+1)D-18, I3D) and for scans (3-D U-Net).
CASES = (
    Conv3dCase("c3d_conv1", 1, 3, (16, 112, 112), 64, _CUBE, padding=_ONES),
    Conv3dCase("c3d_conv2", 1, 64, (16, 56, 56), 128, _CUBE, padding=_ONES),
    Conv3dCase("c3d_conv4", 1, 512, (4, 14, 14), 512, _CUBE, padding=_ONES),
    Conv3dCase("r3d_stem", 1, 3, (16, 112, 112), 64, (3, 7, 7), (1, 2, 2), (1, 3, 3)),
    Conv3dCase("r3d_layer2_s2", 1, 64, (16, 56, 56), 128, _CUBE, (2, 2, 2), _ONES),
    Conv3dCase("r2plus1d_spatial", 1, 64, (16, 56, 56), 144, (1, 3, 3), padding=(0, 1, 1)),
    Conv3dCase("r2plus1d_temporal", 1, 144, (16, 56, 56), 64, (3, 1, 1), padding=(1, 0, 0)),
    Conv3dCase("i3d_pointwise", 1, 192, (8, 28, 28), 64, _ONES),
    Conv3dCase("unet3d_first", 1, 32, (32, 64, 64), 32, _CUBE, padding=_ONES),
    Conv3dCase("unet3d_last", 1, 256, (8, 8, 8), 256, _CUBE, padding=_ONES),
)

EDGE = (
    *(Conv3dCase(f"edge_conv3d_channels_{c}", 1, c, (3, 4, 5), 3, _CUBE) for c in VECTOR_SIZES),
    *(Conv3dCase(f"edge_conv3d_width_{w}", 1, 2, (3, 2, w), 3, (2, 1, 1)) for w in VECTOR_SIZES),
    Conv3dCase("edge_conv3d_stride_above_kernel", 2, 5, (7, 7, 8), 6, (2, 1, 2), (3, 2, 4)),
    Conv3dCase(
        "edge_conv3d_filter_beyond_input", 2, 5, (1, 2, 2), 6, (5, 4, 3), (1, 1, 1), (3, 2, 1)
    ),
    Conv3dCase("edge_conv3d_groups", 2, 10, (4, 5, 6), 5, _CUBE, groups=5),
    Conv3dCase("edge_conv3d_empty_batch", 0, 3, (4, 4, 4), 4, _CUBE),
)

_INPUT, _WEIGHT, _BIAS = Drawn(2, 4, 4, 5, 6), Drawn(6, 2, 3, 3, 3), Drawn(6)
_OPERANDS = {"input": _INPUT, "weight": _WEIGHT, "bias": _BIAS}
_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}
_VOLUMES = (2, 3, 4, 5, 6)

SPEC = OperatorSpec(
    CONV3D,
    results="sums",
    weights=(1,),
    runs=("conv2d", "depth_windows"),
    cases=CASES,
    edge_cases=EDGE,
    typical_cases=(
        Conv3dCase("plain", 2, 5, (4, 6, 7), 6, _CUBE, padding=_ONES),
        Conv3dCase("pointwise", 2, 5, (4, 6, 7), 6, _ONES),
        Conv3dCase("of_depth", 2, 5, (6, 3, 4), 6, (3, 1, 1), (2, 1, 1), (1, 0, 0)),
        Conv3dCase(
            "all_options", 2, 4, (7, 8, 9), 6, (3, 2, 3), (2, 1, 2), (1, 2, 1), (2, 1, 1), 2
        ),
    ),
    corner_cases=(
        Conv3dCase("one_channel_in", 2, 1, (3, 4, 5), 4, _CUBE),
        Conv3dCase("one_channel_out", 2, 3, (4, 4, 5), 1, _CUBE),
        Conv3dCase("one_slice", 2, 3, (1, 4, 5), 4, (1, 3, 3)),
        Conv3dCase("one_element", 2, 3, _ONES, 4, _ONES),
        Conv3dCase("one_output_element", 2, 3, _CUBE, 4, _CUBE),
        Conv3dCase("one_volume", 1, 3, (4, 4, 5), 4, _CUBE),
        Conv3dCase("one_of_all", 1, 1, _ONES, 1, _ONES),
    ),
    tiny_cases=(
        Conv3dCase("plain", 1, 2, (3, 3, 3), 2, (2, 2, 2)),
        Conv3dCase("of_depth", 1, 2, (3, 2, 2), 2, (3, 1, 1), padding=(1, 0, 0)),
        Conv3dCase("all_options", 1, 2, (4, 4, 5), 2, (2, 2, 3), (2, 1, 2), _ONES, (1, 2, 1), 2),
    ),
    shapes=(_VOLUMES, (4, 3, 3, 3, 3), (4,)),
    options=(1, 1),  # stride, padding
    layers=(Layer("Conv3d", (3, 4, 3), (_VOLUMES,), {"padding": 1}),),
    calls={
        "conv3d": Arguments({**_OPERANDS, **_OPTIONS}),
        "conv3d-unbatched": Arguments(_OPTIONS, {**_OPERANDS, "input": Drawn(4, 4, 5, 6)}),
    },
    modules={
        "Conv3d": Arguments(
            {
                **{"input": _INPUT, "in_channels": 4, "out_channels": 6, "kernel_size": 3},
                **{**_OPTIONS, "bias": True, "padding_mode": "zeros"},
            }
        ),
    },
)

"""conv1d, which runs conv2d's kernels."""

from __future__ import annotations

from cnnext.ops.conv1d import CONV1D
from cnnext.testing.cases import VECTOR_SIZES, Conv1dCase
from cnnext.testing.spec import Arguments, Drawn, Layer, OperatorSpec

#: Those of networks for speech (wav2vec 2.0, Whisper, Conformer) and of dilated ones (TCN).
CASES = (
    Conv1dCase("wav2vec_first", 4, 1, 16000, 512, 10, stride=5),
    Conv1dCase("wav2vec_3_s2", 4, 512, 400, 512, 3, stride=2),
    Conv1dCase("wav2vec_positions", 4, 512, 100, 512, 128, padding=64, groups=16),
    Conv1dCase("whisper_first", 4, 80, 1500, 384, 3, padding=1),
    Conv1dCase("conformer_pointwise", 8, 256, 256, 512, 1),
    Conv1dCase("conformer_depthwise", 8, 256, 256, 256, 31, padding=15, groups=256),
    Conv1dCase("tcn_dilated_16", 4, 64, 2048, 64, 3, padding=16, dilation=16),
)

EDGE = (
    *(Conv1dCase(f"edge_conv1d_channels_{c}", 2, c, 9, c + 1, 3) for c in VECTOR_SIZES),
    *(Conv1dCase(f"edge_conv1d_length_{size}", 2, 3, size, 5, 1) for size in VECTOR_SIZES),
    Conv1dCase("edge_conv1d_stride_above_kernel", 2, 5, 17, 6, 2, stride=3),
    Conv1dCase("edge_conv1d_filter_beyond_input", 2, 5, 2, 6, 7, padding=3),
    Conv1dCase("edge_conv1d_empty_batch", 0, 3, 6, 4, 3),
)

_INPUT, _WEIGHT, _BIAS = Drawn(2, 4, 9), Drawn(6, 2, 3), Drawn(6)
_OPERANDS = {"input": _INPUT, "weight": _WEIGHT, "bias": _BIAS}
_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}

SPEC = OperatorSpec(
    CONV1D,
    results="sums",
    weights=(1,),
    runs=("conv2d",),
    cases=CASES,
    edge_cases=EDGE,
    typical_cases=(
        Conv1dCase("plain", 2, 9, 13, 17, 3, padding=1),
        Conv1dCase("pointwise", 2, 9, 13, 17, 1),
        Conv1dCase("all_options", 2, 4, 14, 6, 3, 2, 3, 2, 2),
    ),
    corner_cases=(
        Conv1dCase("one_channel_in", 2, 1, 9, 4, 3),
        Conv1dCase("one_channel_out", 2, 3, 9, 1, 3),
        Conv1dCase("one_element", 2, 3, 1, 4, 1),
        Conv1dCase("one_output_element", 2, 3, 3, 4, 3),
        Conv1dCase("one_sequence", 1, 3, 9, 4, 3),
        Conv1dCase("one_of_all", 1, 1, 1, 1, 1),
    ),
    tiny_cases=(
        Conv1dCase("plain", 1, 2, 5, 2, 3),
        Conv1dCase("all_options", 2, 4, 8, 2, 3, 2, 3, 2, 2),
    ),
    shapes=((2, 3, 7), (4, 3, 3), (4,)),
    options=(1, 1),  # stride, padding
    layers=(Layer("Conv1d", (3, 4, 3), ((2, 3, 7),), {"padding": 1}),),
    calls={
        "conv1d": Arguments({**_OPERANDS, **_OPTIONS}),
        "conv1d-unbatched": Arguments(_OPTIONS, {**_OPERANDS, "input": Drawn(4, 9)}),
    },
    modules={
        "Conv1d": Arguments(
            {
                **{"input": _INPUT, "in_channels": 4, "out_channels": 6, "kernel_size": 3},
                **{**_OPTIONS, "bias": True, "padding_mode": "zeros"},
            }
        ),
        "Conv1d-reflect": Arguments(
            {"input": _INPUT, "kernel_size": 3, "padding": 1},
            {"in_channels": 4, "out_channels": 6, "padding_mode": "reflect"},
        ),
    },
)

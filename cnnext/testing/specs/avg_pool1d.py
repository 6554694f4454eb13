"""avg_pool1d, which runs avg_pool2d's kernels."""

from __future__ import annotations

from cnnext.ops.avg_pool1d import AVG_POOL1D
from cnnext.testing.cases import VECTOR_SIZES, AvgPool1dCase
from cnnext.testing.spec import Arguments, Drawn, Layer, OperatorSpec

CASES = (
    AvgPool1dCase("resnet1d_downsample", 8, 64, 512, 2, 2),
    AvgPool1dCase("moving_average_25", 32, 7, 96, 25, 1, 12),
)

EDGE = (
    *(AvgPool1dCase(f"edge_avg1d_length_{n}", 2, 3, n + 1, 2, 2) for n in VECTOR_SIZES),
    AvgPool1dCase("edge_avg1d_stride_above_kernel", 1, 4, 11, 2, 4),
    AvgPool1dCase("edge_avg1d_uncounted", 1, 4, 8, 4, 2, 2, False, False),
    AvgPool1dCase("edge_avg1d_ceil_padded", 1, 4, 6, 2, 2, 1, True),
    AvgPool1dCase("edge_avg1d_ceil_uncounted", 1, 4, 6, 4, 3, 1, True, False),
    AvgPool1dCase("edge_avg1d_empty_batch", 0, 3, 6, 2, 2),
)

_OPTIONS = {"kernel_size": 3, "stride": 2, "padding": 1}
_MODES = {"ceil_mode": False, "count_include_pad": True}
_ARGUMENTS = Arguments({"input": Drawn(2, 4, 6), **_OPTIONS, **_MODES})

SPEC = OperatorSpec(
    AVG_POOL1D,
    results="averages",
    runs=("avg_pool2d",),
    cases=CASES,
    edge_cases=EDGE,
    typical_cases=(
        AvgPool1dCase("plain", 2, 9, 10, 2, 2),
        AvgPool1dCase("all_options", 2, 9, 11, 3, 2, 1, True, False),
    ),
    corner_cases=(
        AvgPool1dCase("one_channel", 2, 1, 6, 2, 2),
        AvgPool1dCase("one_element", 2, 3, 1, 1, 1),
        AvgPool1dCase("one_output_element", 2, 3, 5, 5, 5),
        AvgPool1dCase("one_sequence", 1, 3, 6, 2, 2),
        AvgPool1dCase("one_of_all", 1, 1, 1, 1, 1),
    ),
    tiny_cases=(
        AvgPool1dCase("plain", 2, 2, 7, 2, 2),
        AvgPool1dCase("uncounted", 2, 2, 7, 3, 1, 1, False, False),
    ),
    shapes=((2, 3, 7),),
    options=(2, 2, 1),  # kernel_size, stride, padding
    layers=(Layer("AvgPool1d", (2,), ((2, 3, 7),), {"padding": 1}),),
    calls={
        "avg_pool1d": _ARGUMENTS,
        "avg_pool1d-unbatched": Arguments(_OPTIONS, {"input": Drawn(4, 6)}),
    },
    modules={"AvgPool1d": _ARGUMENTS},
)

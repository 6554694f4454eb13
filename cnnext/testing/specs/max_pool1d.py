"""max_pool1d, which runs max_pool2d's kernels."""

from __future__ import annotations

from cnnext.ops.max_pool1d import MAX_POOL1D
from cnnext.testing.cases import VECTOR_SIZES, MaxPool1dCase
from cnnext.testing.spec import Arguments, Drawn, Layer, OperatorSpec
from cnnext.testing.specs._pools import far_apart

#: Those of networks for sounds and for texts of characters.
CASES = (
    MaxPool1dCase("m5_pool1", 8, 128, 2000, 4, 4),
    MaxPool1dCase("char_cnn_pool1", 8, 256, 1008, 3, 3),
    MaxPool1dCase("resnet1d_pool", 8, 64, 512, 3, 2, 1),
)

EDGE = (
    *(MaxPool1dCase(f"edge_pool1d_length_{n}", 2, 3, n + 1, 2, 2) for n in VECTOR_SIZES),
    MaxPool1dCase("edge_pool1d_stride_above_kernel", 1, 4, 11, 2, 4),
    MaxPool1dCase("edge_pool1d_dilated", 1, 4, 12, 3, 2, 1, 2),
    MaxPool1dCase("edge_pool1d_ceil_padded", 1, 4, 6, 2, 2, 1, 1, True),
    MaxPool1dCase("edge_pool1d_window_above_256", 1, 2, 300, 257, 1, 8),
    MaxPool1dCase("edge_pool1d_empty_batch", 0, 3, 6, 2, 2),
)

_OPTIONS = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": False}
_ARGUMENTS = Arguments({"input": Drawn(2, 4, 6), **_OPTIONS, "return_indices": True})

SPEC = OperatorSpec(
    MAX_POOL1D,
    results="selected",
    runs=("max_pool2d",),
    cases=CASES,
    edge_cases=EDGE,
    typical_cases=(
        MaxPool1dCase("plain", 2, 9, 10, 2, 2),
        MaxPool1dCase("all_options", 2, 9, 11, 3, 2, 1, 2, True),
    ),
    corner_cases=(
        MaxPool1dCase("one_channel", 2, 1, 6, 2, 2),
        MaxPool1dCase("one_element", 2, 3, 1, 1, 1),
        MaxPool1dCase("one_output_element", 2, 3, 5, 5, 5),
        MaxPool1dCase("one_sequence", 1, 3, 6, 2, 2),
        MaxPool1dCase("one_of_all", 1, 1, 1, 1, 1),
    ),
    tiny_cases=(
        MaxPool1dCase("plain", 2, 2, 7, 2, 2),
        MaxPool1dCase("all_options", 2, 2, 8, 3, 2, 1, 2, True),
    ),
    smooth=far_apart,
    shapes=((2, 3, 7),),
    options=(2,),
    layers=(Layer("MaxPool1d", (2,), ((2, 3, 7),)),),
    calls={
        "max_pool1d": _ARGUMENTS,
        "max_pool1d-unbatched": Arguments(_OPTIONS, {"input": Drawn(4, 6)}),
    },
    modules={"MaxPool1d": _ARGUMENTS},
)

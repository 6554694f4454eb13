"""adaptive_max_pool1d, which runs adaptive_max_pool2d's kernels."""

from __future__ import annotations

from cnnext.ops.adaptive_max_pool1d import ADAPTIVE_MAX_POOL1D
from cnnext.testing.cases import VECTOR_SIZES, AdaptiveMaxPool1dCase
from cnnext.testing.spec import Arguments, Drawn, Layer, OperatorSpec
from cnnext.testing.specs._pools import far_apart

CASES = (
    AdaptiveMaxPool1dCase("text_cnn_over_time", 32, 100, 60, 1),
    AdaptiveMaxPool1dCase("pointnet_over_points", 8, 1024, 1024, 1),
)

_ARGUMENTS = Arguments({"input": Drawn(2, 4, 6), "output_size": 2, "return_indices": True})

SPEC = OperatorSpec(
    ADAPTIVE_MAX_POOL1D,
    results="selected",
    runs=("adaptive_max_pool2d",),
    cases=CASES,
    edge_cases=(
        *(AdaptiveMaxPool1dCase(f"edge_max1d_length_{n}", 2, 3, n, 4) for n in VECTOR_SIZES),
        AdaptiveMaxPool1dCase("edge_max1d_larger_output", 1, 3, 5, 11),
        AdaptiveMaxPool1dCase("edge_max1d_empty_batch", 0, 3, 6, 2),
    ),
    typical_cases=(
        AdaptiveMaxPool1dCase("uneven", 2, 9, 10, 4),
        AdaptiveMaxPool1dCase("global", 2, 9, 5, 1),
    ),
    corner_cases=tuple(
        AdaptiveMaxPool1dCase("corner", *shape, size)
        for shape in ((2, 1, 6), (2, 3, 1), (1, 3, 6), (1, 1, 1))
        for size in (1, 3)
    ),
    tiny_cases=tuple(AdaptiveMaxPool1dCase("tiny", 2, 2, 7, size) for size in (1, 3, 8)),
    smooth=far_apart,
    shapes=((2, 3, 7),),
    options=(3,),
    layers=(Layer("AdaptiveMaxPool1d", (3,), ((2, 3, 7),)),),
    calls={
        "adaptive_max_pool1d": _ARGUMENTS,
        "adaptive_max_pool1d-unbatched": Arguments({"output_size": 2}, {"input": Drawn(4, 6)}),
    },
    modules={"AdaptiveMaxPool1d": _ARGUMENTS},
)

"""linear."""

from __future__ import annotations

from cnnext.ops.linear import LINEAR
from cnnext.testing.cases import VECTOR_SIZES, LinearCase
from cnnext.testing.spec import ROWS, Arguments, Drawn, Layer, OperatorSpec

LINEARS = (
    LinearCase("lenet5_fc1", 64, 400, 120),
    LinearCase("lenet5_fc2", 64, 120, 84),
    LinearCase("lenet5_fc3", 64, 84, 10),
    LinearCase("vgg16_fc6", 1, 25088, 4096),
    LinearCase("vgg16_fc7", 1, 4096, 4096),
    LinearCase("vgg16_fc8", 1, 4096, 1000),
    LinearCase("resnet50_fc", 1, 2048, 1000),
)

EDGE_LINEARS = (
    *(LinearCase(f"edge_linear_{size}", 3, size, size + 1) for size in VECTOR_SIZES),
    LinearCase("edge_linear_empty_batch", 0, 5, 4),
    LinearCase("edge_linear_no_features", 2, 0, 3),
)

_INPUT, _WEIGHT, _BIAS, _GRADIENT = Drawn(3, 5), Drawn(4, 5), Drawn(4), Drawn(3, 4)
_ARGUMENTS = Arguments({"input": _INPUT, "weight": _WEIGHT, "bias": _BIAS})

SPEC = OperatorSpec(
    LINEAR,
    results="sums",
    weights=(1,),
    cases=LINEARS,
    edge_cases=EDGE_LINEARS,
    typical_cases=(LinearCase("plain", 5, 7, 9),),
    corner_cases=(
        LinearCase("one", 1, 1, 1),
        LinearCase("no_features_in", 2, 0, 3),
        LinearCase("no_features_out", 2, 3, 0),
        LinearCase("nothing", 0, 0, 0),
    ),
    tiny_cases=(LinearCase("tiny", 2, 3, 4),),
    shapes=(ROWS, (4, 3), (4,)),
    layers=(Layer("Linear", (3, 4), (ROWS,)),),
    calls={"linear": _ARGUMENTS},
    modules={
        "Linear": Arguments({"input": _INPUT, "in_features": 5, "out_features": 4, "bias": True})
    },
    raw={
        "linear_forward": _ARGUMENTS,
        "linear_backward_input": Arguments({"grad_output": _GRADIENT, "weight": _WEIGHT}),
        "linear_backward_weight": Arguments({"grad_output": _GRADIENT, "input": _INPUT}),
    },
)

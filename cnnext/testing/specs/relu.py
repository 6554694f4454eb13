"""relu."""

from __future__ import annotations

from cnnext.ops.relu import RELU
from cnnext.testing.cases import VECTOR_SIZES, ReluCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

RELUS = (
    ReluCase("lenet5_relu1", (64, 6, 28, 28)),
    ReluCase("lenet5_relu3", (64, 120)),
    ReluCase("vgg16_relu1_1", (1, 64, 224, 224)),
    ReluCase("resnet50_relu_64@112", (1, 64, 112, 112)),
    ReluCase("resnet50_relu_256@56", (1, 256, 56, 56)),
    ReluCase("resnet50_relu_2048@7", (1, 2048, 7, 7)),
)

EDGE_RELUS = (
    *(ReluCase(f"edge_relu_{size}", (size,)) for size in (0, *VECTOR_SIZES)),
    ReluCase("edge_relu_nchw", (2, 3, 5, 7)),
)

_IMAGES, _ROWS = Drawn(2, 4, 6, 6), Drawn(2, 4)

_GPU_RELUS = (
    ReluCase("several_blocks", (2, 5, 17, 13)),
    *(ReluCase(f"{size}", (size,)) for size in (255, 256, 2049)),
)

SPEC = OperatorSpec(
    RELU,
    results="selected",
    cases=RELUS,
    edge_cases=EDGE_RELUS,
    gpu_cases=_GPU_RELUS,
    shapes=(IMAGES,),
    layers=(Layer("ReLU", (), (IMAGES,)),),
    calls={
        "relu": Arguments({"input": _IMAGES}),
        "relu-in_place": Arguments({"input": _IMAGES, "inplace": True}),
    },
    modules={"ReLU": Arguments({"input": _ROWS, "inplace": False})},
    raw={
        "relu_forward": Arguments({"input": _IMAGES}),
        "relu_": Arguments({"self": _IMAGES}),
        "relu_backward": Arguments({"grad_output": _ROWS, "output": _ROWS}),
    },
)

"""dropout. Measured after a seed, tested where nothing is dropped: two calls have one result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from cnnext.ops.dropout import DROPOUT
from cnnext.testing.cases import VECTOR_SIZES, DropoutCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec, Tensors

#: One of a million elements is dropped in a million calls.
RARELY: Final = 2.0**-40

CASES = (
    DropoutCase("alexnet_dropout6", (64, 4096), 0.5),
    DropoutCase("vgg16_dropout1", (8, 4096), 0.5),
    DropoutCase("densenet121_dropout_128@56", (2, 128, 56, 56), 0.2),
    DropoutCase("transformer_dropout_512", (16, 128, 512), 0.1),
)


def _function(case: DropoutCase) -> Callable[[Any, Tensors], Tensors]:
    def function(library: Any, operands: Tensors) -> Tensors:
        if case.p != RARELY:
            torch.default_generator.manual_seed(0)
        return (library.dropout(*operands, case.p),)

    return function


_SHAPES = ((1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 1, 6))
_IMAGE = Drawn(2, 4, 6, 6)

SPEC = OperatorSpec(
    DROPOUT,
    results="selected",
    function_of=_function,
    has_graphs=False,
    cases=CASES,
    edge_cases=(
        *(DropoutCase(f"edge_dropout_{n}", (n,), RARELY) for n in (0, *VECTOR_SIZES)),
        DropoutCase("edge_dropout_nchw", (2, 3, 5, 7), RARELY),
    ),
    typical_cases=(DropoutCase("image", (2, 3, 5, 7), RARELY),),
    corner_cases=tuple(DropoutCase(str(shape), shape, RARELY) for shape in _SHAPES),
    tiny_cases=(
        DropoutCase("rows", (2, 3), RARELY),
        DropoutCase("image", (2, 3, 2, 2), RARELY),
    ),
    shapes=(IMAGES,),
    options=(RARELY,),
    layers=(Layer("Dropout", (RARELY,), (IMAGES,)),),
    calls={
        "dropout": Arguments({"input": _IMAGE, "p": RARELY, "training": True, "inplace": False})
    },
    modules={"Dropout": Arguments({"input": _IMAGE, "p": RARELY, "inplace": False})},
    raw={
        "dropout_forward": Arguments({"input": _IMAGE, "p": RARELY}),
        "dropout_backward": Arguments(
            {
                "grad_output": _IMAGE,
                "mask": torch.ones(2, 4, 6, 6, dtype=torch.uint8),
                "p": RARELY,
            }
        ),
    },
)

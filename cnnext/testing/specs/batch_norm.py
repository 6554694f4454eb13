"""batch_norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cnnext.ops.batch_norm import BATCH_NORM
from cnnext.testing.cases import VECTOR_SIZES, BatchNormCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

#: All of ResNet-50's, (channels, pixels of a side, count).
RESNET50 = (
    *((64, 112, 1), (64, 56, 6), (256, 56, 4), (128, 56, 1), (128, 28, 7), (512, 28, 5)),
    *((256, 28, 1), (256, 14, 11), (1024, 14, 7), (512, 14, 1), (512, 7, 5), (2048, 7, 4)),
)

BATCH_NORMS = tuple(
    BatchNormCase(f"resnet50_bn_{c}@{side}", (8, c, side, side), count=count)
    for c, side, count in RESNET50
)

EDGE_BATCH_NORMS = (
    *(BatchNormCase(f"edge_bn_channels_{c}", (2, c, 3, 5)) for c in VECTOR_SIZES),
    *(BatchNormCase(f"edge_bn_width_{w}", (3, 2, 1, w)) for w in VECTOR_SIZES),
    BatchNormCase("edge_bn_evaluation", (2, 5, 3, 4), training=False),
    BatchNormCase("edge_bn_rows", (9, 17)),
    BatchNormCase("edge_bn_sequences", (3, 5, 33)),
    BatchNormCase("edge_bn_large_plane", (2, 3, 70, 91)),
    BatchNormCase("edge_bn_several_blocks_of_channels", (2, 131, 17, 17)),
    BatchNormCase("edge_bn_empty_batch", (0, 3, 6, 6), training=False),
)


def _with_running(
    operands: Sequence[Any], options: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The function's operands, with running statistics outside training."""
    input, *_, weight, bias = operands
    if options or named["training"]:
        return input, None, None, weight, bias
    fractions = torch.linspace(0, 1, input.shape[1], dtype=input.dtype, device=input.device)
    return input, fractions - 0.5, fractions + 0.5, weight, bias


_C = Drawn(3)
_INPUT, _GRADIENT = Drawn(*IMAGES), Drawn(*IMAGES)
_POSITIVE = torch.tensor([0.5, 1.0, 2.0])
_NUMBERS = {"training": True, "momentum": 0.1, "eps": 1e-5}
_BOUNDS = {"low": 0.0, "high": 6.0}
_MODULE = {"num_features": 3, "eps": 1e-5, "momentum": 0.1, "affine": True}
_TRACKED = {"track_running_stats": True}

SPEC = OperatorSpec(
    BATCH_NORM,
    in_layouts=True,
    cases=BATCH_NORMS,
    edge_cases=EDGE_BATCH_NORMS,
    typical_cases=(
        BatchNormCase("training", (2, 9, 8, 10)),
        BatchNormCase("evaluation", (2, 9, 8, 10), training=False),
        BatchNormCase("large_eps", (2, 9, 8, 10), eps=0.5),
    ),
    corner_cases=(
        BatchNormCase("one_channel", (2, 1, 5, 6)),
        BatchNormCase("one_pixel", (4, 3, 1, 1)),
        BatchNormCase("one_row", (2, 3, 1, 6)),
        BatchNormCase("one_column", (2, 3, 6, 1)),
        BatchNormCase("one_image", (1, 3, 5, 6)),
        BatchNormCase("one_of_all", (1, 1, 1, 1), training=False),
        BatchNormCase("rows", (4, 3)),
        BatchNormCase("one_feature", (5, 1)),
        BatchNormCase("sequences", (2, 3, 4)),
    ),
    tiny_cases=(
        BatchNormCase("training", (3, 2, 2, 3)),
        BatchNormCase("evaluation", (3, 2, 2, 3), training=False),
        BatchNormCase("rows", (4, 2)),
    ),
    arrange=_with_running,
    shapes=(IMAGES, (3,), (3,)),
    options=(True,),
    layers=(
        Layer("BatchNorm2d", (3,), (IMAGES,)),
        Layer("BatchNorm1d", (3,), ((2, 3, 7),)),
    ),
    calls={
        # Statistics must not need gradients. Under an infinite weight native's result is NaN where
        # the formula's is infinite: it takes the mean off last.
        "batch_norm": Arguments(
            {"input": _INPUT, "bias": _C, **_NUMBERS},
            {"running_mean": None, "running_var": None, "weight": _C},
        )
    },
    modules={"BatchNorm2d": Arguments({"input": _INPUT, **_MODULE, **_TRACKED})},
    raw={
        "batch_norm_forward": Arguments(
            {
                "input": _INPUT,
                "residual": Drawn(*IMAGES),
                "weight": _C,
                "bias": _C,
                "running_mean": _C,
                "running_var": _POSITIVE,
                **_NUMBERS,
                **_BOUNDS,
            }
        ),
        "batch_norm_backward": Arguments(
            {
                "grad_output": _GRADIENT,
                "input": _INPUT,
                "output": Drawn(*IMAGES),
                "weight": _C,
                "bias": _C,
                "mean": _C,
                "var": _POSITIVE,
                "training": True,
                "eps": 1e-5,
                **_BOUNDS,
                "need_input": True,
                "need_residual": True,
            }
        ),
        "batch_norm_backward_": Arguments(
            {
                "self": _GRADIENT,
                "input": _INPUT,
                "weight": _C,
                "bias": _C,
                "mean": _C,
                "var": _POSITIVE,
                "training": True,
                "eps": 1e-5,
                **_BOUNDS,
            }
        ),
    },
)

"""What the specs of pools share."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from cnnext.runtime.operator import Operator
from cnnext.testing.cases import VECTOR_SIZES, AdaptivePool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

INPUT = {"input": Drawn(2, 4, 6, 6)}
GRADIENT = {"grad_output": Drawn(2, 4, 3, 3)}
SIZE_IN = {"h_in": 6, "w_in": 6}
SIZE_OUT = {"h_out": 3, "w_out": 3}
#: A window that makes SIZE_OUT of INPUT.
OPTIONS = {"kernel_size": 3, "stride": 2, "padding": 1}
WINDOW: dict[str, Any] = {
    **{"k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1}
}


def far_apart(t: Tensor) -> Tensor:
    """So that no difference quotient changes which is the largest."""
    return t.flatten().argsort().argsort().view_as(t).to(t.dtype)


_EDGE_ADAPTIVE_POOLS = (
    *(AdaptivePool2dCase(f"edge_adaptive_width_{w}", 2, 3, 6, w, (3, 4)) for w in VECTOR_SIZES),
    *(AdaptivePool2dCase(f"edge_adaptive_channels_{c}", 1, c, 7, 5, (3, 2)) for c in VECTOR_SIZES),
    AdaptivePool2dCase("edge_adaptive_global", 2, 9, 7, 5, (1, 1)),
    AdaptivePool2dCase("edge_adaptive_columns", 1, 5, 9, 37, (1, 37)),
    AdaptivePool2dCase("edge_adaptive_rows", 1, 5, 37, 9, (37, 1)),
    AdaptivePool2dCase("edge_adaptive_larger_output", 1, 3, 4, 5, (7, 11)),
    AdaptivePool2dCase("edge_adaptive_identity", 1, 17, 6, 5, (6, 5)),
    AdaptivePool2dCase("edge_adaptive_large_plane", 1, 2, 70, 91, (2, 3)),
    AdaptivePool2dCase("edge_adaptive_two_channel_blocks", 1, 259, 4, 4, (3, 2)),
    AdaptivePool2dCase("edge_adaptive_empty_batch", 0, 3, 6, 6, (2, 2)),
)

_TYPICAL_ADAPTIVE_POOLS = (
    AdaptivePool2dCase("uneven", 2, 9, 8, 10, (3, 4)),
    AdaptivePool2dCase("global", 2, 9, 5, 4, (1, 1)),
)
_CORNER_ADAPTIVE_POOLS = tuple(
    AdaptivePool2dCase("corner", *shape, size)
    for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
    for size in ((1, 1), (2, 3))
)
_TINY_ADAPTIVE_POOLS = tuple(
    AdaptivePool2dCase("tiny", 2, 2, 5, 7, size) for size in ((1, 1), (2, 3), (5, 7), (8, 4))
)


def adaptive_pool(
    operator: Operator,
    cases: tuple[AdaptivePool2dCase, ...],
    *,
    results: Literal["selected", "averages"],
    options: dict[str, Any],
    **fields: Any,
) -> OperatorSpec:
    """The spec of an adaptive pool.

    Args:
        cases: those that speed is measured on.
        options: the arguments of an ordinary call behind the size of the output.
        fields: further ones of the spec.
    """
    module = getattr(operator.module, "__name__", "")
    arguments = Arguments({**INPUT, "output_size": 2, **options})
    return OperatorSpec(
        operator,
        results=results,
        in_layouts=True,
        cases=cases,
        edge_cases=_EDGE_ADAPTIVE_POOLS,
        gpu_cases=(AdaptivePool2dCase("several_blocks", 2, 5, 17, 19, (8, 13)),),
        typical_cases=_TYPICAL_ADAPTIVE_POOLS,
        corner_cases=_CORNER_ADAPTIVE_POOLS,
        tiny_cases=_TINY_ADAPTIVE_POOLS,
        shapes=(IMAGES,),
        options=((4, 3),),
        layers=(Layer(module, ((4, 3),), (IMAGES,)),),
        calls={operator.name: arguments},
        modules={module: arguments},
        **fields,
    )

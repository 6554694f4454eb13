"""max_unpool2d. Its indices are no operand of a case, and are made for the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy

from cnnext.ops.max_unpool2d import MAX_UNPOOL2D
from cnnext.testing.cases import VECTOR_SIZES, MaxUnpool2dCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, OperatorSpec

#: Those of the deconvolution network, and of SegNet at its full size.
CASES = (
    MaxUnpool2dCase("deconvnet_unpool5", 4, 512, 7, 7, (2, 2), (2, 2)),
    MaxUnpool2dCase("deconvnet_unpool3", 4, 256, 28, 28, (2, 2), (2, 2)),
    MaxUnpool2dCase("deconvnet_unpool1", 4, 64, 112, 112, (2, 2), (2, 2)),
    MaxUnpool2dCase("segnet_unpool1", 1, 64, 180, 240, (2, 2), (2, 2)),
)

_EDGE = (
    *(MaxUnpool2dCase(f"edge_unpool_width_{w}", 2, 3, 3, w, (2, 2), (2, 2)) for w in VECTOR_SIZES),
    *(
        MaxUnpool2dCase(f"edge_unpool_channels_{c}", 1, c, 3, 4, (3, 3), (2, 2), (1, 1))
        for c in VECTOR_SIZES
    ),
    MaxUnpool2dCase("edge_unpool_asymmetric", 1, 4, 4, 5, (2, 3), (3, 1), (1, 0)),
    MaxUnpool2dCase("edge_unpool_two_channel_blocks", 1, 259, 4, 4, (2, 2), (2, 2)),
    MaxUnpool2dCase("edge_unpool_empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)


def indices_for(input: Any) -> Tensor:
    """A place of its own for each element of a plane, in reverse order."""
    is_image = isinstance(input, Proxy) or (
        isinstance(input, Tensor)
        and input.layout is torch.strided
        and not input.is_nested
        and input.dim() >= 2
    )
    if not is_image:
        return torch.zeros(1, dtype=torch.int64)
    ones = torch.ones_like(input, dtype=torch.int64, memory_format=torch.contiguous_format)
    return ones.flatten(-2).cumsum(-1).sub(1).flip(-1).reshape(input.shape)


def _with_indices(
    operands: Sequence[Any], options: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The function's operands."""
    (input,) = operands
    return input, indices_for(input)


_INPUT = Drawn(2, 4, 3, 3)
_INDICES = indices_for(torch.empty(2, 4, 3, 3))
_WINDOW = {"kernel_size": 2, "stride": 2, "padding": 0}
_ARGUMENTS = Arguments({"input": _INPUT, "indices": _INDICES, **_WINDOW, "output_size": None})

SPEC = OperatorSpec(
    MAX_UNPOOL2D,
    results="selected",
    in_layouts=True,
    cases=CASES,
    edge_cases=_EDGE,
    typical_cases=(
        MaxUnpool2dCase("plain", 2, 9, 4, 5, (2, 2), (2, 2)),
        MaxUnpool2dCase("all_options", 2, 9, 5, 4, (3, 2), (2, 3), (1, 0)),
    ),
    corner_cases=(
        MaxUnpool2dCase("one_channel", 2, 1, 3, 4, (2, 2), (2, 2)),
        MaxUnpool2dCase("one_pixel", 2, 3, 1, 1, (2, 2), (2, 2)),
        MaxUnpool2dCase("one_row", 2, 3, 1, 4, (1, 2), (1, 2)),
        MaxUnpool2dCase("one_column", 2, 3, 4, 1, (2, 1), (2, 1)),
        MaxUnpool2dCase("one_image", 1, 3, 3, 4, (2, 2), (2, 2)),
        MaxUnpool2dCase("one_of_all", 1, 1, 1, 1, (1, 1), (1, 1)),
    ),
    tiny_cases=(
        MaxUnpool2dCase("plain", 2, 2, 2, 3, (2, 2), (2, 2)),
        MaxUnpool2dCase("all_options", 2, 2, 3, 2, (3, 2), (2, 3), (1, 0)),
    ),
    arrange=_with_indices,
    shapes=(IMAGES,),
    options=(2,),
    calls={"max_unpool2d": _ARGUMENTS},
    modules={"MaxUnpool2d": Arguments({"input": _INPUT, "state": _INDICES, **_WINDOW})},
    raw={
        "max_unpool2d_forward": Arguments(
            {"input": _INPUT, "indices": _INDICES, "h_out": 6, "w_out": 6}
        ),
        "max_unpool2d_backward": Arguments({"grad_output": Drawn(2, 4, 6, 6), "indices": _INDICES}),
    },
)

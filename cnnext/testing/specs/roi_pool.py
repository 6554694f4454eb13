"""roi_pool. Its boxes are no operand of a case, and are made for the image."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.roi_pool import ROI_POOL
from cnnext.testing.cases import VECTOR_SIZES, RoIPoolCase
from cnnext.testing.spec import IMAGES, Arguments, Drawn, OperatorSpec, Tensors
from cnnext.testing.specs._pools import INPUT, far_apart

#: Fast R-CNN's on VGG-16 and on AlexNet, and an image with few boxes.
CASES = (
    RoIPoolCase("fast_rcnn_vgg16_128", 2, 512, 38, 50, (7, 7), 1 / 16, 128),
    RoIPoolCase("fast_rcnn_alexnet_64", 1, 256, 38, 50, (6, 6), 1 / 16, 64),
    RoIPoolCase("few_boxes_8", 1, 64, 19, 25, (6, 6), 1 / 16, 8),
)

_EDGE = (
    *(RoIPoolCase(f"edge_roi_channels_{c}", 2, c, 5, 7, (3, 2), 1 / 8, 5) for c in VECTOR_SIZES),
    RoIPoolCase("edge_roi_one_bin", 2, 3, 9, 8, (1, 1), 1 / 8, 7),
    RoIPoolCase("edge_roi_many_bins", 1, 3, 5, 4, (10, 9), 1 / 8, 3),
    RoIPoolCase("edge_roi_no_boxes", 2, 3, 5, 4, (2, 2), 1 / 8, 0),
    RoIPoolCase("edge_roi_empty_batch", 0, 3, 6, 6, (2, 2), 1 / 8, 4),
)


def boxes_of(input: Tensor, spatial_scale: float, count: int) -> Tensor:
    """Boxes on, over and outside of the border, some without an area, always the same.

    Corners are quarters of positions, which are exact in every dtype if the scale is.
    """
    n, height, width = input.shape[0], input.shape[2], input.shape[3]
    draw = random.Random(count)

    def corner(size: int) -> float:
        return draw.randint(-2 * size, 6 * size) / (4 * spatial_scale)

    corners = [[corner(size) for size in (width, height) * 2] for _ in range(count if n else 0)]
    rows = [[float(k % n), *box] for k, box in enumerate(corners)]
    return torch.tensor(rows, dtype=input.dtype, device=input.device).view(-1, 5)


#: All of the first image, which every batch has.
_BOXES = ([0, 0, 0, 11, 11], [0, 2, 4, 7, 20], [0, -5, 3, 1, 6.5], [0, 3, 3, 2, 1])


def _with_boxes(
    operands: Sequence[Any], options: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The function's operands; what is no image, or only stands for one, gets boxes as well."""
    (input,) = operands
    if not isinstance(input, Tensor) or input.is_nested or not input.is_floating_point():
        return input, torch.tensor(_BOXES)
    boxes = () if input.dim() > 0 and input.shape[0] == 0 else _BOXES
    return input, torch.tensor(boxes).view(-1, 5).to(input.device, input.dtype)


def _function_of(case: RoIPoolCase) -> Callable[[Any, Tensors], Tensors]:
    options = case.kwargs()

    def function(library: Any, operands: Tensors) -> Tensors:
        (input,) = operands
        boxes = boxes_of(input, case.spatial_scale, case.count)
        return (library.roi_pool(input, boxes, **options),)

    return function


_OF_BOXES = {"boxes": torch.tensor([[0, 0, 0, 11, 11], [1, 2, 4, 7, 20], [1, -5, 3, 1, 6.5]])}

SPEC = OperatorSpec(
    ROI_POOL,
    results="selected",
    in_layouts=True,
    cases=CASES,
    edge_cases=_EDGE,
    typical_cases=(
        RoIPoolCase("bins", 2, 9, 8, 10, (3, 4), 1 / 8, 11),
        RoIPoolCase("global", 2, 9, 5, 4, (1, 1), 0.5, 6),
    ),
    corner_cases=tuple(
        RoIPoolCase("corner", *shape, size, 0.5, 4)
        for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
        for size in ((1, 1), (2, 3))
    ),
    tiny_cases=tuple(
        RoIPoolCase("tiny", 2, 2, 5, 7, size, 0.5, 3) for size in ((1, 1), (2, 3), (8, 4))
    ),
    arrange=_with_boxes,
    smooth=far_apart,
    function_of=_function_of,
    shapes=(IMAGES,),
    options=((4, 3), 0.5),
    calls={
        "roi_pool": Arguments({**INPUT, **_OF_BOXES, "output_size": 2, "spatial_scale": 0.5}),
    },
    raw={
        "roi_pool_forward": Arguments(
            {
                **{**INPUT, **_OF_BOXES},
                **{"h_out": 2, "w_out": 2, "spatial_scale": 0.5, "record": True},
            }
        ),
        "roi_pool_backward": Arguments(
            {
                "grad_output": Drawn(3, 4, 2, 2),
                **_OF_BOXES,
                "argmax": torch.full((3, 4, 2, 2), 7, dtype=torch.int32),
                **{"n": 2, "h_in": 6, "w_in": 6, "channels_last": False},
            }
        ),
    },
)

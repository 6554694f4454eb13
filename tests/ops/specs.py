"""The operators of images and rows: their cases, and the raw operators that a call consists of.

What is asked of all of them alike (tests/ops/test_every_*.py) goes through this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.ops.common.pooling import pooled_size, window_geometry
from cnnext.testing import specs
from cnnext.testing.cases import (
    AdaptivePool2dCase,
    AvgPool2dCase,
    Conv2dCase,
    LinearCase,
    MaxPool2dCase,
    ReluCase,
)
from tests.ops import problems
from tests.ops.support import (
    LAYOUTS,
    LAYOUTS_4D,
    VIEWS,
    VIEWS_4D,
    Problem,
    Tensors,
    check_everything,
    check_exact,
    seed_gradient,
)

raw = torch.ops.cnnext

#: A raw operator by its name, and its arguments.
RawCall = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Spec:
    name: str
    #: An ordinary case and ones with options: every view of every operand, every graph.
    cases: tuple[Any, ...]
    #: Sizes of one, which have no order in memory, and of zero.
    corners: tuple[Any, ...]
    #: For finite differences.
    tiny: tuple[Any, ...]
    #: The raw operators behind a call and its gradients.
    raw_calls: Callable[[Any, Tensors], Iterator[RawCall]]
    #: Makes an input at which the operator is smooth.
    smooth: Callable[[Tensor], Tensor] = torch.clone
    #: Whether all results are native's in every bit.
    exact: bool = False
    #: Native's gradient of a global mean lies in memory as its gradient of the output, expanded.
    is_mean: bool = False

    @property
    def edges(self) -> tuple[Any, ...]:
        return specs.SPECS[self.name].edge_cases

    @property
    def networks(self) -> tuple[Any, ...]:
        return specs.SPECS[self.name].cases

    @property
    def has_bias(self) -> bool:
        return self.name in ("conv2d", "linear")

    @property
    def layouts(self) -> tuple[str, ...]:
        return ("nchw",) if self.name == "linear" else tuple(LAYOUTS)

    @property
    def views(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return VIEWS if self.name == "linear" else VIEWS_4D

    @property
    def layout_views(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return {"dense": VIEWS["dense"]} if self.name == "linear" else LAYOUTS_4D

    def problem(self, case: Any, kind: str = "normal", dtype: Any = torch.float32) -> Problem:
        return getattr(problems, self.name)(case, kind, dtype)

    def check(self, problem: Problem) -> None:
        """Results with and without a graph, gradients, and how they lie in memory."""
        if self.exact:
            check_exact(problem)
            return
        is_global = problem.native_outputs[0].shape[-2:] == (1, 1)
        check_everything(problem, image_strides=not (self.is_mean and is_global))


# ------------------------------------------------------------------------ the raw operators


def _conv2d(case: Conv2dCase, operands: Tensors) -> Iterator[RawCall]:
    image, weight, bias = operands
    geometry = (*case.stride, *case.padding, *case.dilation, case.groups)
    yield "conv2d_forward", (image, weight, bias, *geometry)
    gradient = seed_gradient(raw.conv2d_forward(image, weight, bias, *geometry))
    yield "conv2d_backward_input", (gradient, weight, case.h_in, case.w_in, *geometry)
    yield "conv2d_backward_weight", (gradient, image, weight, *geometry)
    yield "conv2d", (*leaves(operands), *geometry)


def _linear(case: LinearCase, operands: Tensors) -> Iterator[RawCall]:
    image, weight, _ = operands
    yield "linear_forward", operands
    gradient = seed_gradient(raw.linear_forward(*operands))
    yield "linear_backward_input", (gradient, weight)
    yield "linear_backward_weight", (gradient, image)
    yield "linear", leaves(operands)


def _relu(case: ReluCase, operands: Tensors) -> Iterator[RawCall]:
    yield "relu_forward", operands
    output = raw.relu_forward(*operands)
    yield "relu_backward", (seed_gradient(output), output)
    yield "relu", leaves(operands)


def _max_pool2d(case: MaxPool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    geometry = window_geometry(case.kernel_size, case.stride, case.padding, case.dilation)
    size = pooled_size(case.h_in, case.w_in, geometry, case.ceil_mode)
    for record in (True, False):
        yield "max_pool2d_forward", (image, *size, *geometry, record)
    yield "max_pool2d", (*leaves(operands), *size, *geometry, True)
    output, where = raw.max_pool2d_forward(image, *size, *geometry, True)
    positions = (where, case.h_in, case.w_in, *geometry)
    yield "max_pool2d_backward", (seed_gradient(output), *positions)
    if where.dtype == torch.uint8:
        yield "max_pool2d_indices", positions


def _avg_pool2d(case: AvgPool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    geometry = window_geometry(case.kernel_size, case.stride, case.padding)
    size = pooled_size(case.h_in, case.w_in, geometry, case.ceil_mode)
    windows = (*geometry[:6], case.count_include_pad, case.divisor_override or 0)
    yield from _mean(case, image, size, windows)


def _adaptive_avg_pool2d(case: AdaptivePool2dCase, operands: Tensors) -> Iterator[RawCall]:
    yield from _mean(case, operands[0], case.output_size, ())


def _mean(case: Any, image: Tensor, size: tuple[int, ...], windows: Any) -> Iterator[RawCall]:
    name = "avg_pool2d" if windows else "adaptive_avg_pool2d"
    yield f"{name}_forward", (image, *size, *windows)
    yield name, (*leaves((image,)), *size, *windows)
    gradient = seed_gradient(getattr(raw, f"{name}_forward")(image, *size, *windows))
    for channels_last in (False, True):
        yield f"{name}_backward", (gradient, case.h_in, case.w_in, channels_last, *windows)


def _adaptive_max_pool2d(case: AdaptivePool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,), size = operands, case.output_size
    for record in (True, False):
        yield "adaptive_max_pool2d_forward", (image, *size, record)
    yield "adaptive_max_pool2d", (*leaves(operands), *size, True)
    output, indices = raw.adaptive_max_pool2d_forward(image, *size, True)
    yield "adaptive_max_pool2d_backward", (seed_gradient(output), indices, case.h_in, case.w_in)


def leaves(operands: Tensors) -> tuple[Any, ...]:
    return tuple(None if t is None else t.detach().requires_grad_() for t in operands)


# --------------------------------------------------------------------------------- the table


def far_apart(t: Tensor) -> Tensor:
    """So that no difference quotient changes which is the largest."""
    return t.flatten().argsort().argsort().view_as(t).to(t.dtype)


ADAPTIVE = {
    "cases": (
        AdaptivePool2dCase("uneven", 2, 9, 8, 10, (3, 4)),
        AdaptivePool2dCase("global", 2, 9, 5, 4, (1, 1)),
    ),
    "corners": tuple(
        AdaptivePool2dCase("corner", *shape, size)
        for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
        for size in ((1, 1), (2, 3))
    ),
    "tiny": tuple(
        AdaptivePool2dCase("tiny", 2, 2, 5, 7, size) for size in ((1, 1), (2, 3), (5, 7), (8, 4))
    ),
}

SPECS = (
    Spec(
        "conv2d",
        cases=(
            Conv2dCase("plain", 2, 9, 6, 7, 17, 3, 3, padding=(1, 1)),
            Conv2dCase("pointwise", 2, 9, 6, 7, 17, 1, 1),
            Conv2dCase("depthwise_s2", 2, 8, 6, 7, 8, 3, 3, (2, 2), (1, 1), (1, 1), 8),
            Conv2dCase("all_options", 2, 4, 7, 9, 6, 2, 3, (2, 1), (1, 2), (1, 2), 2),
        ),
        corners=(
            Conv2dCase("one_channel_in", 2, 1, 5, 6, 4, 3, 3),
            Conv2dCase("one_channel_out", 2, 3, 5, 6, 1, 3, 3),
            Conv2dCase("one_channel", 2, 1, 5, 6, 1, 3, 3),
            Conv2dCase("one_pixel", 2, 3, 1, 1, 4, 1, 1),
            Conv2dCase("one_output_pixel", 2, 3, 3, 3, 4, 3, 3),
            Conv2dCase("one_row", 2, 3, 1, 6, 4, 1, 3),
            Conv2dCase("one_column", 2, 3, 6, 1, 4, 3, 1),
            Conv2dCase("one_image", 1, 3, 5, 6, 4, 3, 3),
            Conv2dCase("one_of_all", 1, 1, 1, 1, 1, 1, 1),
        ),
        tiny=(
            Conv2dCase("plain", 1, 2, 4, 3, 2, 3, 2),
            Conv2dCase("all_options", 2, 4, 5, 6, 2, 2, 3, (2, 1), (1, 2), (1, 2), 2),
            Conv2dCase("pointwise", 2, 3, 2, 2, 2, 1, 1),
            Conv2dCase("depthwise", 1, 3, 4, 4, 3, 3, 3, padding=(1, 1), groups=3),
        ),
        raw_calls=_conv2d,
    ),
    Spec(
        "max_pool2d",
        cases=(
            MaxPool2dCase("plain", 2, 9, 8, 10, (2, 2), (2, 2)),
            MaxPool2dCase("resnet", 2, 9, 9, 9, (3, 3), (2, 2), (1, 1)),
            MaxPool2dCase("all_options", 2, 9, 11, 9, (3, 2), (2, 1), (1, 1), (1, 2), True),
            MaxPool2dCase("window_above_256", 1, 2, 18, 18, (17, 17), (2, 2), (8, 8)),
        ),
        corners=(
            MaxPool2dCase("one_channel", 2, 1, 5, 6, (2, 2), (2, 2)),
            MaxPool2dCase("one_pixel", 2, 3, 1, 1, (1, 1), (1, 1)),
            MaxPool2dCase("one_output_pixel", 2, 3, 4, 5, (4, 5), (4, 5)),
            MaxPool2dCase("one_row", 2, 3, 1, 6, (1, 2), (1, 2)),
            MaxPool2dCase("one_column", 2, 3, 6, 1, (2, 1), (2, 1)),
            MaxPool2dCase("one_image", 1, 3, 5, 6, (2, 2), (2, 2)),
            MaxPool2dCase("one_of_all", 1, 1, 1, 1, (1, 1), (1, 1)),
            MaxPool2dCase("window_of_256", 1, 2, 16, 18, (16, 16), (1, 1)),
        ),
        tiny=(
            MaxPool2dCase("plain", 2, 2, 5, 7, (2, 2), (2, 2)),
            MaxPool2dCase("padded", 2, 2, 5, 7, (3, 3), (1, 1), (1, 1)),
            MaxPool2dCase("dilated", 2, 2, 5, 7, (2, 3), (2, 1), (1, 0), (1, 2)),
            MaxPool2dCase("ceil", 2, 2, 5, 7, (2, 2), (2, 2), ceil_mode=True),
            MaxPool2dCase("positions", 2, 2, 5, 7, (17, 17), (1, 1), (8, 8)),
        ),
        raw_calls=_max_pool2d,
        smooth=far_apart,
    ),
    Spec(
        "avg_pool2d",
        cases=(
            AvgPool2dCase("plain", 2, 9, 8, 10, (2, 2), (2, 2)),
            AvgPool2dCase("all_options", 2, 9, 11, 9, (3, 2), (2, 1), (1, 1), True, False, 7),
        ),
        corners=tuple(
            AvgPool2dCase("corner", *shape, kernel, (1, 1), padding)
            for shape in ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4))
            for kernel, padding in (((1, 1), (0, 0)), ((2, 2), (1, 1)))
        ),
        tiny=(
            AvgPool2dCase("plain", 2, 2, 5, 7, (2, 2), (2, 2)),
            AvgPool2dCase("uncounted", 2, 2, 5, 7, (3, 3), (1, 1), (1, 1), False, False),
            AvgPool2dCase("ceil", 2, 2, 5, 7, (2, 3), (2, 1), (1, 0), True),
            AvgPool2dCase("divisor", 2, 2, 5, 7, (2, 2), (2, 2), divisor_override=-3),
        ),
        raw_calls=_avg_pool2d,
        is_mean=True,
    ),
    Spec("adaptive_avg_pool2d", raw_calls=_adaptive_avg_pool2d, is_mean=True, **ADAPTIVE),
    Spec(
        "adaptive_max_pool2d",
        raw_calls=_adaptive_max_pool2d,
        smooth=far_apart,
        is_mean=True,
        **ADAPTIVE,
    ),
    Spec(
        "relu",
        cases=(ReluCase("image", (2, 3, 5, 7)),),
        corners=tuple(
            ReluCase(str(shape), shape)
            for shape in ((1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 1, 6))
        ),
        tiny=(ReluCase("rows", (2, 3)), ReluCase("image", (2, 3, 2, 2))),
        raw_calls=_relu,
        smooth=lambda t: t + t.sign(),
        exact=True,
    ),
    Spec(
        "linear",
        cases=(LinearCase("plain", 5, 7, 9),),
        corners=(
            LinearCase("one", 1, 1, 1),
            LinearCase("no_features_in", 2, 0, 3),
            LinearCase("no_features_out", 2, 3, 0),
            LinearCase("nothing", 0, 0, 0),
        ),
        tiny=(LinearCase("tiny", 2, 3, 4),),
        raw_calls=_linear,
    ),
)
BY_NAME = {spec.name: spec for spec in SPECS}


def each_case(field: str, *ops: str) -> Any:
    """Parameters (spec, case) for these specs, or all, and their cases of that kind."""
    params = [
        pytest.param(spec, case, id=f"{spec.name}-{case}")
        for spec in SPECS
        if not ops or spec.name in ops
        for case in getattr(spec, field)
    ]
    return pytest.mark.parametrize(("spec", "case"), params)


each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)

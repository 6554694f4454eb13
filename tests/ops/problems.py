"""The named cases as problems: their operands by input class and dtype, and the call."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnext.testing.cases import (
    AdaptivePool2dCase,
    AvgPool2dCase,
    Conv2dCase,
    LinearCase,
    LSTMCellCase,
    MaxPool2dCase,
    ReluCase,
)
from cnnext.testing.errors import make_input
from tests.ops.support import Problem, Tensors, generator_for


def conv2d(
    case: Conv2dCase, kind: str = "normal", dtype: torch.dtype = torch.float32, bias: bool = True
) -> Problem:
    """Operands: input, weight, bias."""
    generator = generator_for(case, kind)
    operands = (
        make_input(kind, case.input_shape, generator, dtype),
        _weight(case.weight_shape, generator, dtype),
        make_input("normal", (case.c_out,), generator, dtype) if bias else None,
    )
    kwargs = case.kwargs()

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        return (library.conv2d(*values, **kwargs),)

    return Problem(apply, operands)


def _pool(op: str, case: Any, kind: str, dtype: torch.dtype) -> Problem:
    """Operand: input. The indices are not among the outputs."""
    operands = (make_input(kind, case.input_shape, generator_for(case, kind), dtype),)
    kwargs = case.kwargs()

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        return (getattr(library, op)(*values, **kwargs),)

    return Problem(apply, operands)


def max_pool2d(
    case: MaxPool2dCase, kind: str = "normal", dtype: torch.dtype = torch.float32
) -> Problem:
    return _pool("max_pool2d", case, kind, dtype)


def avg_pool2d(
    case: AvgPool2dCase, kind: str = "normal", dtype: torch.dtype = torch.float32
) -> Problem:
    return _pool("avg_pool2d", case, kind, dtype)


def adaptive_avg_pool2d(
    case: AdaptivePool2dCase, kind: str = "normal", dtype: torch.dtype = torch.float32
) -> Problem:
    return _pool("adaptive_avg_pool2d", case, kind, dtype)


def adaptive_max_pool2d(
    case: AdaptivePool2dCase, kind: str = "normal", dtype: torch.dtype = torch.float32
) -> Problem:
    return _pool("adaptive_max_pool2d", case, kind, dtype)


def relu(case: ReluCase, kind: str = "normal", dtype: torch.dtype = torch.float32) -> Problem:
    """Operand: input."""
    operands = (make_input(kind, case.input_shape, generator_for(case, kind), dtype),)
    return Problem(lambda library, values: (library.relu(*values),), operands)


def linear(
    case: LinearCase, kind: str = "normal", dtype: torch.dtype = torch.float32, bias: bool = True
) -> Problem:
    """Operands: input, weight, bias."""
    generator = generator_for(case, kind)
    operands = (
        make_input(kind, case.input_shape, generator, dtype),
        _weight(case.weight_shape, generator, dtype),
        make_input("normal", (case.n,), generator, dtype) if bias else None,
    )
    return Problem(lambda library, values: (library.linear(*values),), operands)


def lstm_cell(
    case: LSTMCellCase, kind: str = "normal", dtype: torch.dtype = torch.float32, bias: bool = True
) -> Problem:
    """Operands: input, h, c, w_ih, w_hh, b_ih, b_hh; outputs: the next h and c."""
    generator = generator_for(case, kind)
    state, gates = (case.batch, case.hidden), 4 * case.hidden
    operands = (
        make_input(kind, case.input_shape, generator, dtype),
        make_input("normal", state, generator, dtype),
        make_input("normal", state, generator, dtype),
        _weight((gates, case.input), generator, dtype),
        _weight((gates, case.hidden), generator, dtype),
        make_input("normal", (gates,), generator, dtype) if bias else None,
        make_input("normal", (gates,), generator, dtype) if bias else None,
    )

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        x, h, c, *parameters = values
        return tuple(library.lstm_cell(x, (h, c), *parameters))

    return Problem(apply, operands)


@functools.cache
def cached(builder: Any, case: Any, kind: str, layout: str, dtype: torch.dtype) -> Problem:
    """`builder(case, kind, dtype)` in a layout, one object however often it is asked for."""
    return builder(case, kind, dtype).in_layout(layout)


def _weight(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Normal weights, scaled so that the output has the input's variance."""
    return make_input("normal", shape, generator, dtype) / math.sqrt(max(1, math.prod(shape[1:])))

"""What a model asserts of the sizes of its values, where a graph shows that it holds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cnnext.optimization.graph import Node
from cnnext.optimization.operands import Size, Sizes, Unsupported, value_of
from cnnext.optimization.structure import attribute


@dataclass(frozen=True)
class Known:
    """A number, or a truth, that holds for images of any size."""

    value: int | bool


def _shape_of(value: Node) -> tuple[int | None, ...]:
    """What is known of the shape of what the graph computes; inputs may have another one day."""
    if value.operator == "input" or value.shape is None:
        raise Unsupported("asks for the shape of what is computed elsewhere")
    return value.shape


def rank(input: Any) -> Known:
    return Known(len(_shape_of(value_of(input))))


def rank_or_shape(value: Any, name: Any) -> Known | Sizes:
    return rank(value) if name == "ndim" else attribute(value, name)


def _comparison(function: Callable[[int, int], bool]) -> Callable[..., Known]:
    def lower(a: Any, b: Any) -> Known:
        return Known(function(_known(a), _known(b)))

    return lower


def _known(argument: Any) -> int:
    size: Any = argument
    if isinstance(argument, Known):
        size = argument.value
    if isinstance(argument, Size):
        size = _shape_of(argument.value)[argument.dim]
    if type(size) is not int:
        raise Unsupported("compares what is not known without an image")
    return size


def holds(condition: Any, message: Any) -> Known:
    """An assertion, which is nothing if it holds."""
    if condition != Known(True):
        raise Unsupported("asserts what depends on the image")
    return condition


#: The lowering of a call, by function and by method.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    getattr: rank_or_shape,
    torch._assert: holds,
    **{
        function: _comparison(function)
        for function in (operator.eq, operator.ne, operator.lt, operator.le)
        + (operator.gt, operator.ge)
    },
}
METHODS: dict[str, Callable[..., Any]] = {"dim": rank, "ndimension": rank}

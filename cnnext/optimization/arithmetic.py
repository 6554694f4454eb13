"""Sums, differences, products and quotients of values, of tensors of the model, and of numbers.

Those of a value and a number, or a number a channel, are a `scale_shift`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

from cnnext.optimization import functions
from cnnext.optimization.constants import computed
from cnnext.optimization.graph import Node, Shape
from cnnext.optimization.operands import Constant, Unsupported, number, value_of
from cnnext.optimization.weights import Filled, PerChannel, Weight

#: The largest number of float32.
_LARGEST = torch.finfo(torch.float32).max


def add(input: Any, other: Any, *, alpha: Any = 1) -> Node:
    if number(alpha) != 1:
        other = multiply(other, alpha) if isinstance(other, Node) else _product(other, alpha)
    if isinstance(input, Node) and isinstance(other, Node):
        return functions.add(input, other)
    value, term = _operands(input, other)
    return _scale_shift(value, shift=term)


def subtract(input: Any, other: Any, *, alpha: Any = 1) -> Node:
    return add(input, other, alpha=-number(alpha))


def subtract_from(input: Any, other: Any, *, alpha: Any = 1) -> Node:
    return subtract(other, input, alpha=alpha)


def multiply(input: Any, other: Any) -> Node:
    if isinstance(input, Node) and isinstance(other, Node):
        return functions.multiply(input, other)
    value, factor = _operands(input, other)
    return _scale_shift(value, scale=factor)


def divide(input: Any, other: Any) -> Node:
    if isinstance(other, Constant):
        return multiply(input, computed(torch.reciprocal, (other,), {}))
    if isinstance(other, Node) or number(other) == 0:
        raise Unsupported("divides by what is computed, or by zero")
    return multiply(input, 1 / number(other))


def negative(input: Any) -> Node:
    return multiply(input, -1)


def square(input: Any) -> Node:
    return functions.multiply(input, input)


def power(input: Any, exponent: Any) -> Node:
    if exponent != 2:
        raise Unsupported(f"exponent={exponent}")
    return square(input)


def _operands(a: Any, b: Any) -> tuple[Node, Any]:
    """The value, and the number or tensor of the model, of two that are not both values."""
    return (value_of(a), b) if isinstance(a, Node) else (value_of(b), a)


def _product(term: Any, factor: Any) -> Any:
    if isinstance(term, Constant):
        return computed(torch.mul, (term, factor), {})
    return number(term) * number(factor)


def _scale_shift(value: Node, *, scale: Any = 1, shift: Any = 0) -> Node:
    shape = _shape(value, scale if isinstance(scale, Constant) else shift)
    channels = None if shape is None else shape[1]
    if channels is None:
        raise Unsupported("the number of channels is not known")
    weights = {"scale": _per_channel(scale, channels), "shift": _per_channel(shift, channels)}
    return Node("scale_shift", (value,), {}, weights, shape=shape)


def _per_channel(argument: Any, channels: int) -> Weight:
    if isinstance(argument, Constant):
        return PerChannel(argument.weight(), channels)
    if not abs(number(argument)) <= _LARGEST:
        raise Unsupported(f"{argument} is not finite")
    return Filled(number(argument), (channels,))


def _shape(value: Node, argument: Any) -> Shape:
    """The shape of the value after a broadcast with a number a channel, or a single one."""
    if value.rank == 3:
        raise Unsupported("an operand has 3 dimensions, not 2 or 4")
    sizes = tuple(argument.tensor.shape) if isinstance(argument, Constant) else ()
    rank = value.rank if value.rank is not None else max(2, len(sizes))
    if math.prod(sizes) == 1 and len(sizes) <= rank:
        return value.shape
    if value.rank is None and len(sizes) == 3:
        rank = 4
    sizes = (1,) * (rank - len(sizes)) + sizes
    channels = sizes[1]
    if (
        sizes != (1, channels, *[1] * (rank - 2))
        or value.channels not in (None, channels)
        or (value.rank is None and rank == 2)
    ):
        raise Unsupported("the operands are broadcast")
    return (None, channels, *([None] * (rank - 2) if value.shape is None else value.shape[2:]))


#: The lowering of a call, by function and by method.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((torch.add, operator.add, operator.iadd), add),
    **dict.fromkeys((torch.sub, torch.subtract, operator.sub, operator.isub), subtract),
    torch.rsub: subtract_from,
    **dict.fromkeys((torch.mul, torch.multiply, operator.mul, operator.imul), multiply),
    **dict.fromkeys(
        (torch.div, torch.divide, torch.true_divide, operator.truediv, operator.itruediv), divide
    ),
    **dict.fromkeys((torch.neg, torch.negative, operator.neg), negative),
    torch.square: square,
    **dict.fromkeys((torch.pow, operator.pow), power),
}
METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_", "subtract"), subtract),
    **dict.fromkeys(("mul", "mul_", "multiply"), multiply),
    **dict.fromkeys(("div", "div_", "divide", "true_divide"), divide),
    **dict.fromkeys(("neg", "neg_", "negative"), negative),
    "square": square,
    "pow": power,
}

"""What lowerings are given, and what they ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from cnnext.optimization.graph import Node
from cnnext.optimization.weights import Attribute as ModelAttribute
from cnnext.optimization.weights import Weight


class Unsupported(Exception):
    """Why a call is not lowered: a phrase."""


@dataclass(frozen=True)
class Constant:
    """A tensor of the model, or one that follows from such.

    Attributes:
        tensor: the model's, or one of the sizes and type of what is computed.
        path: its qualified name.
        made: how it is made, None for what the model has.
    """

    tensor: Tensor
    path: str
    made: Weight | None = None

    def recipe(self) -> Weight:
        if self.made is not None:
            return self.made
        tensor = self.tensor
        if type(tensor) not in (Tensor, Parameter):
            raise Unsupported(f"{self.path} is a {type(tensor).__name__}")
        if not tensor.is_cpu or tensor.layout != torch.strided:
            raise Unsupported(f"{self.path} is on {tensor.device}, {tensor.layout}")
        return ModelAttribute(self.path, tuple(tensor.shape))

    def weight(self) -> Weight:
        if self.tensor.dtype != torch.float32:
            raise Unsupported(f"{self.path} is {self.tensor.dtype}")
        return self.recipe()


@dataclass(frozen=True)
class Sizes:
    """The shape of a value."""

    value: Node


@dataclass(frozen=True)
class Size:
    """The size of a value along a dimension."""

    value: Node
    dim: int


Pair = tuple[int, int]


def value_of(argument: Any, rank: int | None = None) -> Node:
    if not isinstance(argument, Node):
        kind = "a tensor of the model" if isinstance(argument, Constant) else text_of(argument)
        raise Unsupported(f"an operand is {kind}")
    if rank is not None and argument.rank not in (None, rank):
        raise Unsupported(f"an operand has {argument.rank} dimensions, not {rank}")
    return argument


def weights_of(**constants: Any) -> dict[str, Weight]:
    for name, constant in constants.items():
        if constant is not None and not isinstance(constant, Constant):
            raise Unsupported(f"{name} is computed")
    return {name: each.weight() for name, each in constants.items() if each is not None}


def text_of(argument: Any) -> str:
    return "what is computed" if isinstance(argument, Node | Size | Sizes) else repr(argument)


def integer(argument: Any) -> int:
    if type(argument) is not int:
        raise Unsupported(f"{text_of(argument)} is not an int")
    return argument


def number(argument: Any) -> float:
    if type(argument) not in (int, float):
        raise Unsupported(f"{text_of(argument)} is not a number")
    return float(argument)


def pair(argument: Any) -> Pair:
    if isinstance(argument, list | tuple):
        sizes = tuple(map(integer, argument))
        if len(sizes) == 1:
            sizes *= 2
        if len(sizes) != 2:
            raise Unsupported(f"{argument!r} is not a pair")
        return sizes
    return (integer(argument),) * 2


def channel_dim(argument: Any, value: Node) -> None:
    """Accepts 1, of a sequence 2, and what means the same."""
    dim = integer(argument)
    if value.rank == 3:
        if dim not in (2, -1):
            raise Unsupported(f"dim={dim} of 3 dimensions")
        return
    if dim != 1 and (dim >= 0 or value.rank is None or dim + value.rank != 1):
        raise Unsupported(f"dim={dim} of {value.rank or 'any number of'} dimensions")

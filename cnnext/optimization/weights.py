"""How the weights of a graph follow from the tensors of a model.

A weight is a recipe, not a tensor: it names what it reads by attribute paths, so that it sees
parameters that were replaced as well as those that were written to. What has to be computed is
computed in float64 and rounded once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from torch.utils import _pytree as pytree


def flushed(tensor: Tensor) -> Tensor:
    """The tensor with zeros for its subnormals, which processors multiply slowly."""
    largest_subnormal = (1 - 2**-23) * torch.finfo(torch.float32).tiny
    kept = F.hardshrink(tensor, largest_subnormal)
    return tensor if torch.equal(kept, tensor) else kept


def attribute(model: Module, path: str) -> Tensor:
    value: Any = functools.reduce(getattr, path.split("."), model)
    tensor: Tensor = value.detach()
    return tensor


def _exact(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


class Weight:
    """A recipe. Equal recipes give equal tensors."""

    def size(self) -> tuple[int, ...]:
        """The tensor's sizes."""
        raise NotImplementedError

    def exact(self, model: Module) -> Tensor:
        """What the model's tensors make of it now, in float64; integers stay what they are."""
        raise NotImplementedError

    def value(self, model: Module) -> Tensor:
        """The same in float32, contiguous and without subnormals."""
        return flushed(self.exact(model).float()).contiguous()

    def paths(self) -> Iterator[str]:
        """The attribute paths of all tensors that it reads."""
        for each in self._weights():
            yield from each.paths()

    def held(self) -> Iterator[Tensor]:
        """The tensors that it reads and the model does not have."""
        for each in self._weights():
            yield from each.held()

    def _weights(self) -> Iterator[Weight]:
        """Those that it is made of."""
        for part in vars(self).values():
            for each in part if isinstance(part, tuple) else (part,):
                if isinstance(each, Weight):
                    yield each

    def tensors(self, model: Module) -> list[Tensor]:
        """What the model has at these paths now."""
        return [attribute(model, path) for path in self.paths()]


@dataclass(frozen=True)
class Attribute(Weight):
    """The model's tensor at a path; its own memory, where nothing has to be changed."""

    path: str
    shape: tuple[int, ...]

    def size(self) -> tuple[int, ...]:
        return self.shape

    def exact(self, model: Module) -> Tensor:
        return _exact(attribute(model, self.path))

    def value(self, model: Module) -> Tensor:
        return flushed(attribute(model, self.path)).contiguous()

    def paths(self) -> Iterator[str]:
        yield self.path


@dataclass(frozen=True)
class Filled(Weight):
    """The same number everywhere."""

    number: float
    shape: tuple[int, ...]

    def size(self) -> tuple[int, ...]:
        return self.shape

    def exact(self, model: Module) -> Tensor:
        return torch.full(self.shape, self.number, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Held(Weight):
    """A tensor that the model does not have: its forward pass makes it of nothing."""

    tensor: Tensor

    def size(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def exact(self, model: Module) -> Tensor:
        return _exact(self.tensor)

    def held(self) -> Iterator[Tensor]:
        yield self.tensor


@dataclass(frozen=True, eq=False)
class Computed(Weight):
    """What a function makes of others.

    Attributes:
        function: what the model itself calls.
        leaves: of the positional and named arguments, weights among them.
        structure: of these.
        shape: of the result.
    """

    function: Callable[..., Tensor]
    leaves: tuple[Any, ...]
    structure: pytree.TreeSpec
    shape: tuple[int, ...]

    def size(self) -> tuple[int, ...]:
        return self.shape

    def exact(self, model: Module) -> Tensor:
        leaves = [each.exact(model) if isinstance(each, Weight) else each for each in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return _exact(self.function(*args, **kwargs))


@dataclass(frozen=True)
class PerChannel(Weight):
    """A number a channel, of what has one for all of them or other dimensions beside."""

    weight: Weight
    channels: int

    def size(self) -> tuple[int, ...]:
        return (self.channels,)

    def exact(self, model: Module) -> Tensor:
        return self.weight.exact(model).reshape(-1).expand(self.channels)


@dataclass(frozen=True)
class NormScale(Weight):
    """gamma / sqrt(variance + eps), by which a batch normalization multiplies."""

    gamma: Weight | None
    variance: Weight
    eps: float

    def size(self) -> tuple[int, ...]:
        return self.variance.size()

    def exact(self, model: Module) -> Tensor:
        scale = (self.variance.exact(model) + self.eps).rsqrt()
        return scale if self.gamma is None else self.gamma.exact(model) * scale


@dataclass(frozen=True)
class NormShift(Weight):
    """beta - mean * scale, what a batch normalization adds."""

    beta: Weight | None
    mean: Weight
    scale: Weight

    def size(self) -> tuple[int, ...]:
        return self.mean.size()

    def exact(self, model: Module) -> Tensor:
        shift = -self.mean.exact(model) * self.scale.exact(model)
        return shift if self.beta is None else self.beta.exact(model) + shift


@dataclass(frozen=True)
class Scaled(Weight):
    """A filter of which each output channel is multiplied by its scale.

    Attributes:
        transposed_groups: 0 for a filter that has its output channels first, else the groups of a
            transposed convolution, whose filter is (C_in, C_out / groups, ...).
    """

    weight: Weight
    scale: Weight
    transposed_groups: int = 0

    def size(self) -> tuple[int, ...]:
        return self.weight.size()

    def exact(self, model: Module) -> Tensor:
        weight, scale = self.weight.exact(model), self.scale.exact(model)
        if self.transposed_groups == 0:
            return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        grouped = weight.unflatten(0, (self.transposed_groups, -1))
        scale = scale.reshape(self.transposed_groups, 1, -1, *[1] * (weight.dim() - 2))
        return (grouped * scale).flatten(0, 1)


@dataclass(frozen=True)
class ScaledBias(Weight):
    """bias * scale + shift."""

    bias: Weight
    scale: Weight
    shift: Weight

    def size(self) -> tuple[int, ...]:
        return self.bias.size()

    def exact(self, model: Module) -> Tensor:
        return self.bias.exact(model) * self.scale.exact(model) + self.shift.exact(model)


@dataclass(frozen=True)
class Concatenated(Weight):
    """Filters or biases one after the other along their output channels."""

    weights: tuple[Weight, ...]

    def size(self) -> tuple[int, ...]:
        return (sum(each.size()[0] for each in self.weights), *self.weights[0].size()[1:])

    def exact(self, model: Module) -> Tensor:
        return torch.cat([weight.exact(model) for weight in self.weights])


@dataclass(frozen=True)
class Ones(Weight):
    """A factor of 1 for each channel."""

    channels: int

    def size(self) -> tuple[int, ...]:
        return (self.channels,)

    def exact(self, model: Module) -> Tensor:
        return torch.ones(self.channels, dtype=torch.float64)

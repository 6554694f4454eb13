"""The operators and modules of `cnnext.testing.specs`, as the tests of this folder call them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves

import cnnext
from cnnext.testing import spec
from cnnext.testing.errors import assert_bitwise_equal, make_input
from cnnext.testing.spec import IMAGES as IMAGES
from cnnext.testing.specs import SPECS
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums, generator_for

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Operator:
    """A function of cnnext.functional, called as `apply(library, *operands)`."""

    name: str
    apply: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def raw(self) -> str:
        """Whose raw operators it calls: cells with one state are a recurrence of one step."""
        spec = SPECS[self.name]
        return self.name if spec.operator.raw else spec.kernels[0]

    @property
    def raw_forward(self) -> str:
        """The raw operator that computes its outputs."""
        return f"{self.raw}_forward"

    @property
    def raw_backward(self) -> str:
        """What the names of those begin with that compute gradients."""
        return "conv2d" if self.name == "conv_transpose2d" else f"{self.raw}_backward"

    @property
    def node(self) -> str:
        """What autograd calls the function that its outputs come from."""
        own = SPECS[self.name].operator
        if own.from_images is not None and own.autograd is None:  # an axis is taken out
            return "UnsafeViewBackward0" if self.name == "conv1d" else "SqueezeBackward1"
        function = own.autograd or SPECS[self.raw].operator.autograd
        assert function is not None
        return f"{function.__name__}Backward"

    def operands(self, dtype: torch.dtype = torch.float32) -> Tensors:
        return _values(self.name, self.shapes, dtype)

    def leaves(self, dtype: torch.dtype = torch.float32) -> Tensors:
        return tuple(operand.requires_grad_() for operand in self.operands(dtype))

    def call(self, library: Any, *operands: Any) -> Tensors:
        return outputs_of(self.apply(library, *operands))

    def trained(self, library: Any) -> tuple[Tensors, Tensors]:
        """The outputs of a call, and the gradients of all operands."""
        leaves = self.leaves()
        outputs = self.call(library, *leaves)
        return outputs, torch.autograd.grad(loss_of(outputs), leaves)


class Layer(spec.Layer):
    """A module of ours and its namesake, with what they are called with."""

    @property
    def recurrent(self) -> bool:
        """Whether it reads whole sequences."""
        return issubclass(getattr(nn, self.name), nn.RNNBase)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.build(nn).named_parameters())

    def pair(self, **options: Any) -> tuple[nn.Module, nn.Module]:
        """Ours and native's."""
        return self.build(cnnext.nn, **options), self.build(nn, **options)

    def inputs(self, dtype: torch.dtype = torch.float32, batch: int = 2) -> tuple[Any, ...]:
        shapes = tuple((batch, *shape[1:]) for shape in self.shapes)
        values = _values(self.name, shapes, dtype)
        return (values[0], values[1:]) if self.states else values

    def outputs(self, module: Any) -> Tensors:
        """What a module makes of the inputs."""
        return outputs_of(module(*self.inputs()))

    def gradients(self, module: Any) -> dict[str, Tensor]:
        """What a training step on the inputs finds."""
        return gradients_of(module, *self.inputs())


def _values(name: str, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Tensors:
    generator = generator_for(name)
    return tuple(make_input("normal", shape, generator, dtype) for shape in shapes)


OPERATORS = tuple(
    Operator(name, spec.call, spec.shapes)
    for name, spec in SPECS.items()
    if spec.operator.function is not None
)
LAYERS = tuple(Layer(**vars(layer)) for spec in SPECS.values() for layer in spec.layers)
TRAINABLE = tuple(layer for layer in LAYERS if layer.parameters)


def _each(name: str, cases: tuple[Any, ...]) -> Any:
    return pytest.mark.parametrize(name, cases, ids=lambda case: case.name)


each_operator = _each("op", OPERATORS)
each_layer = _each("layer", LAYERS)

#: Those that graphs hold; of the others, they hold native's.
_OF_NATIVE = {op.module for op in (s.operator for s in SPECS.values() if not s.has_graphs)}
each_operator_in_graphs = _each("op", tuple(op for op in OPERATORS if SPECS[op.name].has_graphs))
each_layer_in_graphs = _each(
    "layer", tuple(layer for layer in LAYERS if getattr(cnnext, layer.name) not in _OF_NATIVE)
)
each_trainable_layer = _each("layer", TRAINABLE)


class Network(nn.Module):
    """The modules of an image classifier, and two steps of a cell."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(
                layers.Conv2d(3, 4, 3, padding=1), layers.ReLU(), layers.MaxPool2d(2)
            )
            self.linear = layers.Linear(4 * 3 * 2, 6)
            self.cell = layers.LSTMCell(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.linear(self.features(images).flatten(1))
        h, c = self.cell(rows)
        h, c = self.cell(rows, (h, c))
        return h

    @staticmethod
    def images(batch: int = 2) -> Tensor:
        return make_input("normal", (batch, *IMAGES[1:]), generator_for("images"))


LIBRARIES = ((CNNEXT, cnnext.nn), (NATIVE, nn))


# ------------------------------------------------------------------------------ comparisons


def outputs_of(result: Any) -> Tensors:
    return tuple(tree_leaves(result))


def loss_of(result: Any) -> Tensor:
    """A scalar with a different gradient for every element, also of what is normalised."""
    return sum((t * t * t.sigmoid()).sum() for t in outputs_of(result))


def gradients_of(module: nn.Module, *inputs: Any) -> dict[str, Tensor]:
    """What a training step finds: the gradients of all parameters, by name."""
    module.zero_grad()
    loss_of(module(*inputs)).backward()
    return {name: grad for name, grad in grads_of(module).items() if grad is not None}


def grads_of(module: nn.Module) -> dict[str, Tensor | None]:
    """What has been left in the parameters, by name."""
    return {name: p.grad for name, p in module.named_parameters()}


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or the type of what it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error)


def assert_same_bits(ours: Any, expected: Any) -> None:
    """Equal in every bit, in structures of tensors alike."""
    ours, structure = tree_flatten(ours)
    expected, expected_structure = tree_flatten(expected)
    assert structure == expected_structure
    for index, (result, value) in enumerate(zip(ours, expected, strict=True)):
        assert_bitwise_equal(result, value, what=f"item {index}")


def assert_same_outcome(ours: Any, native: Any) -> None:
    """The same values, or the same type of error."""
    if isinstance(ours, type) or isinstance(native, type):
        assert ours is native
    else:
        assert_same_sums(ours, native)

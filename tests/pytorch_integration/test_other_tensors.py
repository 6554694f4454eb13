"""Tensors and parameters of other types, lazy ones and fake ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import cnnext
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    Layer,
    Network,
    Operator,
    each_layer,
    each_operator,
    each_trainable_layer,
    loss_of,
    outputs_of,
)

# ---------------------------------------------------------------------------- other tensors


class Tagged(Tensor):
    """A subclass by __torch_function__, as those that carry metadata."""


class Wrapped(Tensor):
    """A subclass by __torch_dispatch__: no memory of its own, like a distributed tensor."""

    content: Tensor

    @staticmethod
    def __new__(cls, content: Tensor) -> Wrapped:
        wrapped = Tensor._make_wrapper_subclass(
            cls, content.shape, strides=content.stride(), dtype=content.dtype, device=content.device
        )
        wrapped.content = content
        return wrapped

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tree_map = torch.utils._pytree.tree_map_only
        args, kwargs = tree_map(cls, lambda t: t.content, (args, kwargs or {}))
        return tree_map(Tensor, cls, func(*args, **kwargs))


def content_of(t: Tensor) -> Tensor:
    return t.content if isinstance(t, Wrapped) else t.as_subclass(Tensor)


@pytest.mark.parametrize("kind", (Tagged, Wrapped))
@each_operator
def test_subclasses(op: Operator, kind: Any, fallbacks: list[str]) -> None:
    """Native PyTorch computes with a subclass as any operand, gradients too."""
    seen: set[type] = set()
    for place in range(len(op.shapes)):
        results = []
        for library in (CNNEXT, NATIVE):
            operands = list(op.operands())
            value = operands[place]
            operands[place] = value.as_subclass(Tagged) if kind is Tagged else Wrapped(value)
            operands[place].requires_grad_()
            outputs = op.call(library, *operands)
            (gradient,) = torch.autograd.grad(loss_of(outputs), operands[place])
            results.append((*outputs, gradient))
        kinds, of_native = ([type(t) for t in result] for result in results)
        assert kinds == of_native
        seen.update(kinds)
        assert_same_sums(*(list(map(content_of, result)) for result in results))
    assert kind in seen
    why = f"{kind.__name__} is not a plain tensor"
    assert fallbacks == [f"cnnext.{op.name} uses native PyTorch: {why}"]


class OwnParameter(nn.Parameter):
    """A subclass as libraries define it to record something with each parameter."""


class AskedParameter(nn.Parameter):
    """A subclass with `__torch_function__`: native's function is called with it as the operand."""

    asked: list[Any] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.asked.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@each_trainable_layer
def test_a_subclass_of_parameter(layer: Layer) -> None:
    """It leaves every call to torch: our kernels compute."""
    gradients = []
    for module in layer.pair():
        for name, parameter in list(module.named_parameters()):
            setattr(module, name, OwnParameter(parameter.detach()))
        gradients.append(layer.gradients(module))
    assert_same_sums(*gradients)


@each_trainable_layer
def test_a_parameter_that_wants_to_be_asked(layer: Layer, fallbacks: list[str]) -> None:
    gradients = []
    for module in layer.pair():
        for name, parameter in list(module.named_parameters()):
            setattr(module, name, AskedParameter(parameter.detach()))
        AskedParameter.asked.clear()
        outputs = layer.outputs(module)
        gradients.append((AskedParameter.asked[-1], [t.detach() for t in outputs]))
    assert gradients[0][0] is gradients[1][0]
    assert_same_sums(gradients[0][1], gradients[1][1])
    assert len(fallbacks) == 1 and "AskedParameter" in fallbacks[0]


# --------------------------------------------------------------------------- lazy and without


@pytest.mark.parametrize("name", ("LazyConv2d", "LazyLinear"))
def test_lazy_modules_materialize_and_are_then_converted(name: str) -> None:
    arguments = {"LazyConv2d": (4, 3), "LazyLinear": (4,)}[name]
    images = Network.images()
    lazy = getattr(cnnext.nn, name)(*arguments)
    untouched = cnnext.convert(lazy)
    assert type(untouched) is getattr(nn, name)
    expected = untouched(images)
    converted = cnnext.convert(untouched)
    assert type(converted) is getattr(cnnext, name.removeprefix("Lazy"))
    assert_same_sums(converted(images), expected)


@pytest.mark.usefixtures("fallbacks")
@each_trainable_layer
def test_an_uninitialized_parameter_is_refused_as_by_native(layer: Layer) -> None:
    errors = []
    for module in layer.pair():
        name, _ = next(iter(module.named_parameters()))
        setattr(module, name, nn.UninitializedParameter())
        with pytest.raises(Exception) as error:  # noqa: PT011
            module(*layer.inputs())
        errors.append(error.type)
    assert errors[0] is errors[1]


@each_layer
def test_fake_tensors_have_the_strides_of_real_ones(layer: Layer) -> None:
    """The same sizes and strides with and without values."""
    with FakeTensorMode():
        module = layer.build(cnnext.nn)
        inputs = layer.inputs()
        fake = [(t.shape, t.stride(), t.dtype) for t in outputs_of(module(*inputs))]
    real = layer.outputs(layer.build(cnnext.nn))
    assert fake == [(t.shape, t.stride(), t.dtype) for t in real]

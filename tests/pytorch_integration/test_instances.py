"""Layers of torch.nn are instances of ours, as code asks that was written for torch.nn."""

from __future__ import annotations

import abc
import functools
import pickle
import typing
from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import get_default_qat_qconfig
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

import cnnext
from cnnext.nn import NATIVE, SWAPPED
from tests.pytorch_integration.cases import Layer, each_layer

each_class = pytest.mark.parametrize("cls", (*SWAPPED, *NATIVE), ids=lambda cls: cls.__name__)


class Backbone(nn.Module):
    """Holds layers of both libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16)
        self.head = cnnext.nn.Linear(8, 3)
        self.stem = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU6())


# -------------------------------------------------------------------------------- isinstance


@each_class
def test_whatever_is_one_of_natives_is_one_of_ours(cls: type[nn.Module]) -> None:
    """And nothing else is: every class that torch has loaded is tried."""
    native = getattr(nn, cls.__name__)
    classes, pending = set[type](), [nn.Module]
    while pending:
        found = pending.pop()
        if found not in classes:
            classes.add(found)
            pending += type.__subclasses__(found)
    assert native in classes
    for other in classes | {object, int, Tensor}:
        assert issubclass(other, cls) is issubclass(other, native), other


@each_layer
def test_instances(layer: Layer) -> None:
    cls = getattr(cnnext.nn, layer.name)
    mine, theirs = (type("Mine", (base,), {}) for base in (cls, getattr(nn, layer.name)))
    ours, native = layer.pair()
    of_mine, of_theirs = (layer.build(SimpleNamespace(**{layer.name: c})) for c in (mine, theirs))
    assert all(isinstance(module, cls) for module in (ours, native, of_mine, of_theirs))
    assert isinstance(of_mine, mine)
    assert not any(isinstance(module, mine) for module in (ours, native, of_theirs))
    assert not isinstance(nn.Identity(), cls)
    with pytest.raises(TypeError):
        issubclass(native, cls)


def test_lazy_quantized_and_converted_layers() -> None:
    assert isinstance(nn.LazyLinear(3), cnnext.nn.Linear)
    assert isinstance(
        torch.ao.nn.qat.Linear(3, 3, qconfig=get_default_qat_qconfig()), cnnext.nn.Linear
    )
    assert not isinstance(torch.ao.nn.quantized.ReLU6(), cnnext.nn.Sequential)
    assert isinstance(torch.ao.nn.quantized.ReLU6(), cnnext.nn.ReLU)
    assert isinstance(cnnext.restore(cnnext.nn.ReLU()), cnnext.nn.ReLU)


@pytest.mark.parametrize("prepare", [lambda m: m, cnnext.convert], ids=["both", "converted"])
def test_an_initialisation_loop_reaches_every_layer(prepare: Callable[..., nn.Module]) -> None:
    model = prepare(Backbone())
    for module in model.modules():
        if isinstance(module, cnnext.nn.Linear):
            cnnext.nn.init.ones_(module.weight)
        elif isinstance(module, cnnext.nn.LayerNorm):
            cnnext.nn.init.zeros_(module.weight)
    attention = model.encoder.self_attn.out_proj
    for layer in (model.head, model.encoder.linear1, model.encoder.linear2, attention):
        assert (layer.weight == 1).all()
    assert (model.encoder.norm1.weight == 0).all()


def test_stand_ins() -> None:
    assert isinstance(mock.Mock(spec=nn.Linear), cnnext.nn.Linear)
    assert not isinstance(mock.Mock(spec=nn.ReLU), cnnext.nn.Linear)


# ----------------------------------------------------------------------------- users' classes


def test_classes_that_derive_from_ours_and_others() -> None:
    class Abstract(cnnext.nn.Conv2d, abc.ABC):
        @abc.abstractmethod
        def penalty(self) -> Tensor: ...

    class Concrete(Abstract):
        def penalty(self) -> Tensor:
            return self.weight.abs().sum()

    T = typing.TypeVar("T")

    class OfKind(cnnext.nn.Linear, typing.Generic[T]): ...

    class Sized(typing.Protocol):
        def size(self) -> int: ...

    class WithProtocol(cnnext.nn.Linear, Sized):
        def size(self) -> int:
            return self.in_features

    with pytest.raises(TypeError, match="abstract"):
        Abstract(3, 4, 3)
    assert Concrete(3, 4, 3).penalty() > 0
    assert OfKind[int](3, 4)(torch.ones(2, 3)).shape == (2, 4)
    assert WithProtocol(3, 4).size() == 3
    assert not isinstance(nn.Linear(3, 4), (OfKind, WithProtocol))


def test_a_class_made_by_a_call_is_its_callers() -> None:
    made = type("Made", (cnnext.nn.Linear,), {})
    assert made.__module__ == __name__
    assert type("MadeOfIt", (made,), {}).__module__ == __name__


def test_a_registered_class_is_one_of_the_subclass() -> None:
    class Mine(cnnext.nn.Linear): ...

    class Other: ...

    Mine.register(Other)
    assert isinstance(Other(), Mine)
    assert not isinstance(Other(), cnnext.nn.Linear)


@each_class
def test_pickled_classes(cls: type[nn.Module]) -> None:
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert cls.__module__.startswith("cnnext.ops.")  # what pickles of version 0.1 name


# ------------------------------------------------------------------------------ tools around


def test_single_dispatch() -> None:
    @functools.singledispatch
    def kind(module: object) -> str:
        return "other"

    @kind.register
    def _(module: cnnext.nn.Linear) -> str:
        return "linear"

    class Theirs(nn.Linear): ...

    assert kind(nn.Linear(2, 2)) == kind(cnnext.nn.Linear(2, 2)) == kind(Theirs(2, 2)) == "linear"
    assert kind(nn.ReLU()) == kind(nn.Module()) == kind(1) == "other"
    kind.register(nn.Linear, lambda module: "native")
    assert kind(nn.Linear(2, 2)) == "native"
    assert kind(cnnext.nn.Linear(2, 2)) == "linear"


class Counting(nn.Module):
    """Asks in its forward pass, of layers of both."""

    def __init__(self, asked: type[nn.Module]) -> None:
        super().__init__()
        self.asked = asked
        self.layers = nn.ModuleList([nn.Linear(3, 3), cnnext.nn.Linear(3, 3), nn.ReLU()])

    def forward(self, x: Tensor) -> Tensor:
        count = 0
        for layer in self.layers:
            if isinstance(layer, self.asked) and issubclass(type(layer), (self.asked, nn.GRU)):
                count += 1
            x = layer(x)
        return x * 0 + count


@pytest.mark.parametrize("asked", [nn.Linear, cnnext.nn.Linear], ids=["native", "ours"])
def test_compiled_and_exported(asked: type[nn.Module]) -> None:
    model, x = Counting(asked), torch.randn(2, 3)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert (compiled(x) == 2).all()
    model.layers[2] = nn.LazyLinear.cls_to_become(3, 3)
    assert (compiled(x) == 3).all()
    assert (torch.export.export(model, (x,)).module()(x) == 3).all()
    assert (torch.fx.symbolic_trace(model)(x) == 3).all()


def test_wrap_policy() -> None:
    policy = ModuleWrapPolicy({cnnext.nn.Linear})
    wrapped = policy._run_policy(Backbone(), set(), {})
    assert {type(module) for module in wrapped} >= {cnnext.nn.Linear, nn.Linear}
    assert nn.ReLU6 not in {type(module) for module in wrapped}

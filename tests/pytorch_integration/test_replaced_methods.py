"""Methods that a library replaces on a class of torch.nn reach our layers, and can be put back."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

import cnnext
from cnnext.ops.common.drop_in import NativeLayer
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import (
    IMAGES,
    LAYERS,
    Layer,
    each_layer,
    each_trainable_layer,
    gradients_of,
    loss_of,
)


def double(result: Any) -> Any:
    return tree_map_only(Tensor, lambda t: 2 * t, result)


SEQUENTIAL = Layer("Sequential", (nn.Flatten(0),), (IMAGES,))


def forward_methods(cls: type[nn.Module]) -> Iterator[str]:
    """The methods that the class's forward pass consists of: `forward`, and what that calls."""
    names, seen = ["forward"], set[str]()
    while names:
        name = names.pop()
        method = getattr(cls, name, None)
        if name in seen or hasattr(nn.Module, name) and name != "forward":
            continue
        if isinstance(method, FunctionType):
            seen.add(name)
            yield name
            names += method.__code__.co_names


FORWARD_METHODS = [
    pytest.param(layer, name, id=f"{layer.name}.{name}")
    for layer in (*LAYERS, SEQUENTIAL)
    for name in forward_methods(getattr(nn, layer.name))
]
each_forward_method = pytest.mark.parametrize(("layer", "name"), FORWARD_METHODS)


class Replacement:
    """A method that passes its calls on to what it replaces, and counts them."""

    def __init__(self, cls: type[nn.Module], name: str, *, change: Any = None) -> None:
        self.calls = 0
        original = getattr(cls, name)

        def replacement(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            result = original(module, *args, **kwargs)
            return result if change is None else change(result)

        self.patch = mock.patch.object(cls, name, replacement)

    def __enter__(self) -> Replacement:
        self.patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


def converted(layer: Layer) -> nn.Module:
    return cnnext.convert(layer.build(nn))


BUILT = {"built": lambda layer: layer.build(cnnext.nn), "converted": converted}


# ------------------------------------------------------------------------------ every method


@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT)
@each_forward_method
def test_a_method_of_the_forward_pass(
    layer: Layer, name: str, build: Any, fallbacks: list[str]
) -> None:
    """It is called as often as on native's layer; once it is gone, our kernels compute again."""
    cls = getattr(nn, layer.name)
    ours, native, inputs = build(layer), layer.build(nn), layer.inputs()
    calls = []
    for module in (ours, native):
        with Replacement(cls, name) as replacement:
            module(*inputs)
        calls.append(replacement.calls)
    assert calls[0] == calls[1]
    with cnnext.flags(strict=True):
        ours(*inputs)
    assert replacement.calls == calls[1]


@each_layer
def test_the_result_is_the_replacements(layer: Layer, fallbacks: list[str]) -> None:
    cls, results = getattr(nn, layer.name), []
    with Replacement(cls, "forward", change=double):
        for module in layer.pair():
            image, *states = layer.inputs()
            image.requires_grad_()
            output = module(image, *states)
            loss_of(output).backward()
            results.append((output, image.grad, [p.grad for p in module.parameters()]))
    assert_same_sums(*results)


@each_trainable_layer
@pytest.mark.parametrize("name", ["__init__", "reset_parameters", "extra_repr"])
def test_a_method_that_builds_or_describes_a_layer(layer: Layer, name: str) -> None:
    with Replacement(getattr(nn, layer.name), name) as replacement:
        native = repr(layer.build(nn))
        calls = replacement.calls
        assert repr(layer.build(cnnext.nn)) == native
    assert calls > 0
    assert replacement.calls == 2 * calls


def test_a_subclass_of_ours_that_calls_super(fallbacks: list[str]) -> None:
    class Half(cnnext.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) / 2

    layer, x = Half(3, 4), torch.randn(2, 3)
    expected = layer(x)
    with Replacement(nn.Linear, "forward", change=double):
        assert_same_sums(layer(x), 2 * expected)


# ------------------------------------------------------------------------- what the user hears


@pytest.mark.parametrize("layer", (*LAYERS, SEQUENTIAL), ids=lambda layer: layer.name)
def test_one_warning_says_which_method_and_by_whom(layer: Layer, fallbacks: list[str]) -> None:
    ours = layer.build(cnnext.nn)
    with Replacement(getattr(nn, layer.name), "forward"):
        ours(*layer.inputs())
        ours(*layer.inputs())
    (message,) = (text for text in fallbacks if text.startswith(f"cnnext.{layer.name} "))
    assert f"torch.nn.{layer.name}.forward was replaced by {__name__}.Replacement." in message


def test_strict_forbids_it() -> None:
    layer = cnnext.Linear(3, 4)
    with Replacement(nn.Linear, "forward"), pytest.raises(RuntimeError, match="was replaced by"):
        layer(torch.randn(2, 3))


@pytest.mark.parametrize("name", ["forward", "_conv_forward"])
def test_report_says_it(name: str) -> None:
    native = nn.Conv2d(3, 4, 3)
    ours = cnnext.convert(native)
    phrase = f"torch.nn.Conv2d.{name} was replaced by {__name__}.Replacement.__init__"
    with Replacement(nn.Conv2d, name):
        (before,), (after,) = cnnext.report(native).layers, cnnext.report(ours).layers
    assert before.status == "native"
    assert before.reason.startswith("convert makes it a cnnext.nn.Conv2d, but " + phrase)
    assert after.status == "cnnext"
    assert after.reason.startswith(phrase)
    (restored,) = cnnext.report(ours).layers
    assert restored.reason == "runs cnnext's kernels"


# --------------------------------------------------------------------------- runs as one function


def run() -> cnnext.Sequential:
    torch.manual_seed(0)
    return cnnext.Sequential(cnnext.Conv2d(3, 4, 3), cnnext.ReLU(), cnnext.MaxPool2d(2))


RUN = [
    (name, method)
    for name in ("Conv2d", "ReLU", "MaxPool2d")
    for method in ("forward", "__call__", *(["_conv_forward"] if name == "Conv2d" else []))
]


def calls_in_training(model: nn.Module, cls: type[nn.Module], method: str) -> int:
    with Replacement(cls, method) as replacement:
        gradients_of(model, *Layer("", (), (IMAGES,)).inputs())
    return replacement.calls


@pytest.mark.parametrize(("name", "method"), RUN)
def test_a_member_of_a_run_in_training(name: str, method: str, fallbacks: list[str]) -> None:
    native = getattr(nn, name)
    assert calls_in_training(run(), native, method) == 1
    assert calls_in_training(cnnext.restore(run()), native, method) == 1
    assert calls_in_training(run(), getattr(cnnext.nn, name), method) == 1


@pytest.mark.parametrize("method", ["__call__", "_call_impl"])
def test_any_call_in_training(method: str) -> None:
    for model in (run(), cnnext.restore(run())):
        assert calls_in_training(model, nn.Module, method) == 4


def test_a_run_is_one_function_again(fallbacks: list[str]) -> None:
    model, images = run(), Layer("", (), (IMAGES,)).inputs()
    names = [type(model(*images).grad_fn).__name__]
    with Replacement(nn.ReLU, "forward"):
        names.append(type(model(*images).grad_fn).__name__)
    names.append(type(model(*images).grad_fn).__name__)
    assert names[0] == names[2] == "Conv2dReLUMaxPool2dFunctionBackward"
    assert names[1] != names[0]


# ------------------------------------------------------------------------------- tools of torch


def test_compiled(fallbacks: list[str]) -> None:
    """Before and after compilation, which native's layer does not look for."""
    layer, x = cnnext.Linear(3, 4), torch.randn(2, 3)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    expected = compiled(x)
    with Replacement(nn.Linear, "forward", change=double):
        assert_same_sums(compiled(x), 2 * expected)
    assert_same_sums(compiled(x), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scripted() -> None:
    def replacement(self: nn.Linear, input: Tensor) -> Tensor:
        return 2 * torch.nn.functional.linear(input, self.weight, self.bias)

    layer, x = cnnext.Linear(3, 4), torch.randn(2, 3)
    with mock.patch.object(nn.Linear, "forward", replacement):
        scripted = torch.jit.script(nn.Sequential(layer))
    assert_same_sums(scripted(x), 2 * layer(x))


# ----------------------------------------------------------------- whose method was there first


@pytest.mark.parametrize("layer", (*LAYERS, SEQUENTIAL), ids=lambda layer: layer.name)
def test_ours_in_the_place_of_natives(layer: Layer) -> None:
    """`torch.nn.Linear.forward = cnnext.Linear.forward` does not count as a replacement."""
    cls = getattr(cnnext.nn, layer.name)
    ours, native = layer.pair()
    expected = ours(*layer.inputs())
    with mock.patch.object(getattr(nn, cls.__name__), "forward", cls.forward):
        assert_same_sums(ours(*layer.inputs()), expected)
        if not isinstance(native, nn.Sequential):
            assert_same_sums(native(*layer.inputs()), expected)
    assert_same_sums(ours(*layer.inputs()), expected)


def test_what_was_replaced_before_cnnext_was_imported() -> None:
    with Replacement(nn.ReLU, "forward"):
        native = NativeLayer(nn.ReLU)
        assert native.is_replaced()
        assert len(native.replaced()) == 1
    assert not native.is_replaced()
    assert native.forward is nn.ReLU.forward
    assert native.replaced() == []
    with Replacement(nn.ReLU, "forward"):
        assert native.is_replaced()


def test_the_method_of_another_class_is_a_replacement() -> None:
    with mock.patch.object(nn.ReLU, "forward", nn.ReLU6.forward):
        assert NativeLayer(nn.ReLU).is_replaced()

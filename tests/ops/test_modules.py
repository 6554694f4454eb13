"""The modules are their namesakes in torch.nn: what a model's owner does to one works on ours."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.support import assert_agrees, generator_for


@dataclass(frozen=True)
class Layer:
    """A module by its name in torch.nn, its arguments, and the shapes of what it is called with."""

    id: str
    name: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[int, ...], ...] = ()

    def build(self, layers: Any, **options: Any) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return getattr(layers, self.name)(*self.arguments, **self.options, **options)

    def pair(self) -> tuple[nn.Module, nn.Module]:
        return self.build(nn), self.build(cnnext)

    def values(self, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
        """Arguments of a call; all but the first are one tuple of states."""
        generator = generator_for(self.id)
        first, *states = (make_input("normal", shape, generator, dtype) for shape in self.inputs)
        return (first, tuple(states)) if states else (first,)


IMAGE = ((2, 6, 9, 8),)
STATES = ((3, 5), (3, 4), (3, 4))
SEQUENCES = ((6, 3, 5),)

LAYERS = (
    Layer("conv2d", "Conv2d", (6, 8, 3), inputs=IMAGE),
    Layer(
        "conv2d_options",
        "Conv2d",
        (6, 8, (2, 3)),
        {"stride": 2, "padding": (1, 2), "dilation": (2, 1), "groups": 2, "bias": False},
        IMAGE,
    ),
    Layer("conv2d_same", "Conv2d", (6, 8, 4), {"padding": "same"}, IMAGE),
    Layer("conv2d_reflect", "Conv2d", (6, 8, 3), {"padding": 2, "padding_mode": "reflect"}, IMAGE),
    Layer("max_pool2d", "MaxPool2d", (2,), inputs=IMAGE),
    Layer(
        "max_pool2d_options",
        "MaxPool2d",
        ((3, 2),),
        {"stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True},
        IMAGE,
    ),
    Layer("avg_pool2d", "AvgPool2d", (2,), inputs=IMAGE),
    Layer(
        "avg_pool2d_options",
        "AvgPool2d",
        ((3, 2),),
        {
            "stride": 2,
            "padding": 1,
            "ceil_mode": True,
            "count_include_pad": False,
            "divisor_override": 7,
        },
        IMAGE,
    ),
    Layer("adaptive_avg_pool2d", "AdaptiveAvgPool2d", ((4, 3),), inputs=IMAGE),
    Layer("adaptive_max_pool2d", "AdaptiveMaxPool2d", (5,), inputs=IMAGE),
    Layer("relu", "ReLU", inputs=IMAGE),
    Layer("linear", "Linear", (8, 5), inputs=IMAGE),
    Layer("linear_without_bias", "Linear", (8, 5), {"bias": False}, IMAGE),
    Layer("lstm_cell", "LSTMCell", (5, 4), inputs=STATES),
    Layer("lstm_cell_without_bias", "LSTMCell", (5, 4), {"bias": False}, STATES),
    Layer("lstm", "LSTM", (5, 4), inputs=SEQUENCES),
    Layer(
        "lstm_options",
        "LSTM",
        (5, 4, 2),
        {"bias": False, "batch_first": True, "bidirectional": True},
        ((3, 6, 5), (4, 3, 4), (4, 3, 4)),
    ),
    Layer("gru", "GRU", (5, 4), inputs=SEQUENCES),
    Layer("rnn", "RNN", (5, 4), inputs=SEQUENCES),
    Layer("rnn_options", "RNN", (5, 4, 2), {"nonlinearity": "relu"}, SEQUENCES),
)

with_parameters = pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if list(layer.build(nn).parameters())], ids=lambda v: v.id
)
each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda v: v.id)


def tensors_of(output: Any) -> tuple[Tensor, ...]:
    return tuple(tree_leaves(output))


def assert_same_bits(ours: nn.Module, other: nn.Module, layer: Layer, **kwargs: Any) -> None:
    values = layer.values(**kwargs)
    outputs = (tensors_of(module(*values)) for module in (ours, other))
    for result, expected in zip(*outputs, strict=True):
        assert_bitwise_equal(result, expected)


# ----------------------------------------------------------------------------- construction


@pytest.mark.parametrize("cls", cnnext.nn.MODULES, ids=lambda cls: cls.__name__)
def test_is_a_subclass_with_the_same_constructor(cls: type[nn.Module]) -> None:
    native = getattr(nn, cls.__name__)
    assert cls.__bases__ == (native,)
    assert inspect.signature(cls) == inspect.signature(native)
    assert getattr(cnnext, cls.__name__) is getattr(cnnext.nn, cls.__name__) is cls


@each_layer
def test_representation(layer: Layer) -> None:
    native, ours = layer.pair()
    assert repr(ours) == repr(native)
    assert repr(nn.Sequential(ours)) == repr(nn.Sequential(native))


@with_parameters
def test_initialisation_draws_the_same_numbers(layer: Layer) -> None:
    states, parameters = [], []
    for layers in (nn, cnnext):
        torch.manual_seed(0)
        module = getattr(layers, layer.name)(*layer.arguments, **layer.options)
        module.reset_parameters()
        parameters.append(module.state_dict())
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    assert list(parameters[0]) == list(parameters[1])
    for key, value in parameters[0].items():
        assert_bitwise_equal(parameters[1][key], value, what=key)


@with_parameters
def test_device_and_dtype_arguments(layer: Layer) -> None:
    module = layer.build(cnnext, device="meta", dtype=torch.float64)
    assert all(p.is_meta and p.dtype == torch.float64 for p in module.parameters())
    module.to_empty(device="cpu").load_state_dict(layer.build(nn, dtype=torch.float64).state_dict())
    assert_same_bits(module, layer.build(cnnext, dtype=torch.float64), layer, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    (
        ("Conv2d", (4, 6, 3), {"groups": 0}),
        ("Conv2d", (4, 6, 3), {"groups": 3}),
        ("Conv2d", (4, 5, 3), {"groups": 2}),
        ("Conv2d", (4, 6, 3), {"padding": "half"}),
        ("Conv2d", (4, 6, 3), {"padding": "same", "stride": 2}),
        ("Conv2d", (4, 6, 3), {"padding_mode": "mirror"}),
        ("Conv2d", (4, 6), {}),
        ("Conv2d", (4, 6, 3.0), {}),
        ("MaxPool2d", (), {}),
        ("AvgPool2d", (), {}),
        ("AdaptiveAvgPool2d", (), {}),
        ("AdaptiveMaxPool2d", (), {}),
        ("Linear", (4,), {}),
        ("Linear", (4, -1), {}),
        ("LSTMCell", (4,), {}),
        ("LSTMCell", (4, 2, True, "cpu", "float32"), {}),
    ),
)
def test_constructor_errors(name: str, arguments: tuple[Any, ...], options: Any) -> None:
    with pytest.raises(Exception) as native:  # noqa: PT011
        getattr(nn, name)(*arguments, **options)
    with pytest.raises(native.type) as ours:
        getattr(cnnext, name)(*arguments, **options)
    assert str(ours.value) == str(native.value)


# ------------------------------------------------------------------------------------ results


@each_layer
def test_output_is_natives(layer: Layer) -> None:
    native, ours = layer.pair()
    values = layer.values()
    double = copy.deepcopy(native).double()(*layer.values(torch.float64))
    answers = zip(*map(tensors_of, (ours(*values), native(*values), double)), strict=True)
    for index, answer in enumerate(answers):
        assert_agrees(*answer, what=f"output {index}")


@with_parameters
def test_training_steps_are_natives(layer: Layer) -> None:
    """Three steps of SGD; the weights are read afresh in each."""
    trained = []
    for module, dtype in (
        (layer.build(cnnext), torch.float32),
        (layer.build(nn), torch.float32),
        (layer.build(nn).double(), torch.float64),
    ):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            output = module(*layer.values(dtype))
            sum(t.square().mean() for t in tensors_of(output)).backward()
            optimizer.step()
        trained.append(module.state_dict())
    for key in trained[0]:
        assert_agrees(*(state[key] for state in trained), what=key)


# ----------------------------------------------------------------------- what owners do to one


@with_parameters
def test_state_dict_crosses_over(layer: Layer) -> None:
    native, ours = layer.pair()
    for parameter in native.parameters():
        nn.init.normal_(parameter)
    assert str(ours.load_state_dict(native.state_dict())) == "<All keys matched successfully>"
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    layer.build(nn).load_state_dict(torch.load(file, weights_only=True))
    for key, value in native.state_dict().items():
        assert_bitwise_equal(ours.state_dict()[key], value, what=key)


@each_layer
def test_copies(layer: Layer) -> None:
    ours = layer.build(cnnext)
    whole_file = io.BytesIO()
    torch.save(ours, whole_file)
    whole_file.seek(0)
    copies = (
        copy.deepcopy(ours),
        copy.copy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(whole_file, weights_only=False),
    )
    for other in copies:
        assert type(other) is type(ours)
        assert repr(other) == repr(ours)
        assert_same_bits(other, ours, layer)
    kept = {id(p) for p in ours.parameters()}
    assert not kept & {id(p) for p in copies[0].parameters()}


@each_layer
def test_hooks(layer: Layer) -> None:
    ours, calls = layer.build(cnnext), []
    ours.register_forward_pre_hook(lambda *_: calls.append("before"))
    ours.register_forward_hook(lambda *_: calls.append("after"))
    ours.register_full_backward_pre_hook(lambda *_: calls.append("before backward"))
    ours.register_full_backward_hook(lambda *_: calls.append("after backward"))
    image, *states = layer.values()
    output = tensors_of(ours(image.requires_grad_(), *states))
    sum(t.sum() for t in output).backward()
    assert calls == ["before", "after", "before backward", "after backward"]


@each_layer
def test_conversions(layer: Layer) -> None:
    ours = layer.build(cnnext)
    native = layer.build(nn)
    assert_same_bits(ours.double().float(), layer.build(cnnext), layer)
    for result, expected in zip(
        tensors_of(ours.double()(*layer.values(torch.float64))),
        tensors_of(native.double()(*layer.values(torch.float64))),
        strict=True,
    ):
        assert_agrees(result, expected, expected.detach(), what="float64 output")
    ours.to(torch.float32, memory_format=torch.channels_last)
    assert {name: p.shape for name, p in ours.named_parameters()} == {
        name: p.shape for name, p in native.named_parameters()
    }
    assert ours.to("meta") is ours
    assert all(p.is_meta for p in ours.parameters())


@with_parameters
def test_functional_call_uses_the_given_parameters(layer: Layer) -> None:
    ours, values = layer.build(cnnext), layer.values()
    zeros = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    replaced = torch.func.functional_call(ours, zeros, values)
    zeroed = layer.build(cnnext)
    zeroed.load_state_dict(zeros)
    for result, expected in zip(tensors_of(replaced), tensors_of(zeroed(*values)), strict=True):
        assert_bitwise_equal(result, expected)


@with_parameters
def test_frozen_parameters_get_no_gradient(layer: Layer) -> None:
    ours = layer.build(cnnext).requires_grad_(False)
    image, *states = layer.values()
    output = tensors_of(ours(image.requires_grad_(), *states))
    sum(t.sum() for t in output).backward()
    assert image.grad is not None
    assert all(p.grad is None for p in ours.parameters())


# -------------------------------------------------------------------------------- TorchScript


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@each_layer
def test_torch_script_compiles_native_operators(layer: Layer) -> None:
    native, ours = layer.pair()
    if isinstance(native, nn.RNNBase):
        pytest.skip("torch compiles their forward pass only inside another module")
    scripted = torch.jit.script(ours)
    assert "cnnext::" not in str(scripted.graph)
    values = layer.values()
    torch.testing.assert_close(scripted(*values), native(*values), rtol=0, atol=0)
    assert type(ours) is getattr(cnnext, layer.name)

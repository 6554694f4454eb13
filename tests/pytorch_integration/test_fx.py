"""torch.fx.symbolic_trace records our modules and functions as it records native's."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils import parametrizations

import cnnext
from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    assert_same_bits,
    each_layer,
    each_operator,
    each_trainable_layer,
    gradients_of,
    outputs_of,
)


class Caller(nn.Module):
    """Not a leaf itself, as the root of a trace never is."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: Tensor) -> Any:
        return self.layer(input)


def traced(layer: nn.Module, inputs: tuple[Any, ...]) -> fx.GraphModule:
    if len(inputs) == 1:
        return fx.symbolic_trace(Caller(layer))

    class WithStates(Caller):
        def forward(self, input: Tensor, hx: Any) -> Any:
            return self.layer(input, hx)

    return fx.symbolic_trace(WithStates(layer))


# ------------------------------------------------------------------------------------ leaves


@each_layer
def test_a_module_is_a_leaf(layer: Layer) -> None:
    ours = layer.build(cnnext.nn)
    graph = traced(ours, layer.inputs())
    assert [node.target for node in graph.graph.nodes if node.op == "call_module"] == ["layer"]
    assert graph.layer is ours
    assert_same_bits(layer.outputs(graph), layer.outputs(ours))


def test_a_network_is_traced_as_native_is() -> None:
    ours, native = (fx.symbolic_trace(Network(layers)) for _, layers in LIBRARIES)
    assert str(ours.graph) == str(native.graph)
    assert ours.code == native.code


def test_a_graph_runs_trains_and_is_traced_again() -> None:
    model = Network(cnnext.nn)
    graph = fx.symbolic_trace(model)
    images = Network.images()
    expected = gradients_of(model, images)
    copies = (
        graph,
        fx.symbolic_trace(graph),
        fx.symbolic_trace(copy.deepcopy(model)),
        copy.deepcopy(graph),
        pickle.loads(pickle.dumps(graph)),
    )
    for other in copies:
        assert other.code == graph.code
        assert_bitwise_equal(other(images), model(images))
        assert_same_bits(gradients_of(other, images), expected)


def test_a_call_with_keywords_and_defaults() -> None:
    class OfCell(nn.Module):
        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.cell = layers.LSTMCell(3, 4)

        def forward(self, x, hx=None):
            h, c = self.cell(x, hx=hx)
            return h + c

    ours, native = OfCell(cnnext.nn), OfCell(nn)
    x, states = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
    graph = fx.symbolic_trace(ours)
    assert graph.code == fx.symbolic_trace(native).code
    assert_bitwise_equal(graph(x), ours(x))
    assert_bitwise_equal(graph(x, states), ours(x, states))
    specialized = fx.symbolic_trace(ours, concrete_args={"hx": None})
    assert_bitwise_equal(specialized(x, None), ours(x))


@each_trainable_layer
def test_hooks_and_parametrizations_stay_inside_the_leaf(layer: Layer) -> None:
    """Recorded, they would be applied twice: by the graph and by the module that it calls."""
    graphs = []
    for module in layer.pair():
        name, _ = next(iter(module.named_parameters()))
        parametrizations.weight_norm(module, name)
        module.register_forward_hook(lambda m, i, o: tuple(2 * t for t in outputs_of(o)))
        graph = traced(module, layer.inputs())
        assert_same_sums(graph(*layer.inputs()), module(*layer.inputs()))
        graphs.append(str(graph.graph))
    assert graphs[0] == graphs[1]


@each_layer
def test_a_subclass_of_the_users_is_no_leaf(layer: Layer) -> None:
    """Native's are not either. What its forward does is recorded once."""

    def subclass_of(cls: type[nn.Module]) -> nn.Module:
        class Twice(cls):
            def forward(self, *inputs: Any) -> Any:
                return tuple(2 * t for t in outputs_of(super().forward(*inputs)))

        module = layer.build(cnnext.nn)
        module.__class__ = Twice
        return module

    module = subclass_of(getattr(cnnext, layer.name))
    tracer = fx.Tracer()
    assert not tracer.is_leaf_module(module, "layer")
    assert not tracer.is_leaf_module(subclass_of(getattr(nn, layer.name)), "layer")
    # Those forward passes branch on their input, as native's do.
    if (
        not layer.name.endswith("Cell")
        and not layer.name.startswith("BatchNorm")
        and not (layer.recurrent)
    ):
        graph = traced(module, layer.inputs())
        assert_same_sums(graph(*layer.inputs()), module(*layer.inputs()))


def test_other_leaves_are_what_they_were() -> None:
    tracer = fx.Tracer()
    assert tracer.is_leaf_module(nn.Conv2d(1, 1, 1), "layer")
    assert not tracer.is_leaf_module(nn.Sequential(), "layer")
    assert not tracer.is_leaf_module(cnnext.Sequential(), "layer")
    assert not tracer.is_leaf_module(Caller(nn.ReLU()), "layer")
    assert not tracer.is_leaf_module(cnnext.models.lenet5(), "layer")


class WithoutLeaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return False


def test_a_tracer_keeps_a_rule_of_its_own() -> None:
    model = Network(cnnext.nn).features
    graph = fx.GraphModule(model, WithoutLeaves().trace(model))
    targets = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    assert targets == {CNNEXT.conv2d, CNNEXT.relu, CNNEXT.max_pool2d}
    images = Network.images()
    assert_bitwise_equal(graph(images), model(images))


# --------------------------------------------------------------------------------- functions


class OfFunction(nn.Module):
    """Calls an operator with its first operand given, the others its own."""

    def __init__(self, op: Operator) -> None:
        super().__init__()
        self.op = op
        for index, operand in enumerate(op.operands()[1:]):
            self.register_parameter(f"operand_{index}", nn.Parameter(operand))

    def forward(self, first: Tensor) -> Any:
        return self.op.apply(CNNEXT, first, *self.parameters())


@each_operator
def test_a_function_is_recorded_as_ours(op: Operator) -> None:
    model = OfFunction(op)
    first = op.operands()[0]
    graph = fx.symbolic_trace(model)
    calls = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert calls[-1] is getattr(CNNEXT, op.name)  # behind what makes its other arguments
    assert not any(call is getattr(NATIVE, op.name) for call in calls)
    for other in (graph, fx.symbolic_trace(graph), copy.deepcopy(graph)):
        assert other.code == graph.code
        assert_same_bits(other(first), model(first))
    restored = pickle.loads(pickle.dumps(graph.graph))
    assert [node.target for node in restored.nodes if node.op == "call_function"] == calls


# -------------------------------------------------------------------------------- transforms


def test_shape_propagation() -> None:
    images = Network.images()
    shapes = []
    for _, layers in LIBRARIES:
        graph = fx.symbolic_trace(Network(layers))
        ShapeProp(graph).propagate(images)
        shapes.append([node.meta.get("tensor_meta") for node in graph.graph.nodes])
    assert shapes[0] == shapes[1]


def test_modules_can_be_replaced_in_a_graph() -> None:
    """By the passes that look a module up under its name; here relu by tanh."""
    graph = fx.symbolic_trace(Network(cnnext.nn))
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(graph.get_submodule(node.target), nn.ReLU):
            graph.set_submodule(node.target, nn.Tanh())
    native = Network(nn)
    native.features[1] = nn.Tanh()
    assert_same_sums(graph(Network.images()), native(Network.images()))


@pytest.mark.parametrize("restored", (True, False), ids=("restored", "not_restored"))
def test_fusion_with_batch_norm(restored: bool) -> None:
    """The pass looks for exactly torch.nn's types: a restored model is fused, ours computes on."""
    model = nn.Sequential(cnnext.Conv2d(3, 4, 3), nn.BatchNorm2d(4), cnnext.ReLU()).eval()
    model[1].running_mean.normal_()
    images = Network.images()
    expected = model(images)
    fused = fuse(cnnext.restore(model) if restored else model)
    assert any(isinstance(m, nn.BatchNorm2d) for m in fused.modules()) == (not restored)
    assert_same_sums(fused(images), expected)
    assert_same_sums(cnnext.convert(fused)(images), expected)

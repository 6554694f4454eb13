"""torch.compile of every module: one graph, right gradients, no recompiling, native's layouts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from tests.ops.graphs import BATCHES, ops_in
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import (
    LAYERS,
    LIBRARIES,
    Layer,
    Network,
    each_layer,
    each_trainable_layer,
    gradients_of,
    grads_of,
    loss_of,
    outputs_of,
)

#: The first does nothing that the second does not, the third calls a C++ compiler.
BACKENDS = (
    pytest.param("eager", marks=pytest.mark.slow),
    "aot_eager",
    pytest.param("inductor", marks=pytest.mark.slow),
)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
each_backend = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(autouse=True)
def _reset() -> None:
    torch._dynamo.reset()
    counters.clear()


def compiled(function: Any, backend: str = "aot_eager", **options: Any) -> Any:
    return torch.compile(function, fullgraph=True, backend=backend, **options)


@each_backend
@each_layer
def test_outputs(layer: Layer, backend: str) -> None:
    ours, native = layer.pair()
    with torch.no_grad():
        results = compiled(ours, backend)(*layer.inputs())
        assert_same_sums(outputs_of(results), layer.outputs(native))
    assert counters["stats"]["unique_graphs"] == 1


@each_backend
@each_trainable_layer
def test_gradients(layer: Layer, backend: str) -> None:
    ours, native = layer.pair()
    gradients_of(compiled(ours, backend), *layer.inputs())
    gradients = grads_of(ours)
    assert_same_sums(gradients, layer.gradients(native))


@each_backend
def test_a_whole_training_step(backend: str) -> None:
    """Forward, backward and optimizer in compiled functions, several times."""
    trained = []
    for _, layers in LIBRARIES:
        torch._dynamo.reset()
        model = Network(layers)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        run = compiled(model, backend) if layers is not nn else model
        for batch in range(3):
            optimizer.zero_grad()
            loss_of(run(Network.images() + batch)).backward()
            optimizer.step()
        trained.append(model.state_dict())
    assert_same_sums(*trained)


@pytest.mark.parametrize(
    "training",
    (
        pytest.param(True, id="training"),
        pytest.param(False, id="inference", marks=pytest.mark.slow),
    ),
)
@each_layer
def test_a_dynamic_batch_compiles_once(layer: Layer, training: bool) -> None:
    ours, native = layer.pair()
    run = compiled(ours, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.set_grad_enabled(training):
        for batch in BATCHES:
            inputs = layer.inputs(batch=batch)
            results = outputs_of(run(*inputs))
            assert_same_sums(results, outputs_of(native(*inputs)))
    assert counters["stats"]["unique_graphs"] == 1


IMAGE_LAYERS = tuple(layer for layer in LAYERS if len(layer.shapes[0]) == 4)


@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=lambda layer: layer.name)
def test_images_of_any_size_compile_once(layer: Layer) -> None:
    ours, native = layer.pair()
    run = compiled(ours, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for size in ((2, 9, 11), (5, 12, 14), (3, 21, 8)):
            image = torch.randn(size[0], layer.shapes[0][1], *size[1:], requires_grad=True)
            outputs = (outputs_of(module(image)) for module in (run, native))
            gradients = (torch.autograd.grad(loss_of(output), image) for output in outputs)
            assert_same_sums(*gradients)
    assert counters["stats"]["unique_graphs"] == 1


@each_layer
def test_a_batch_that_changes_is_made_dynamic(layer: Layer) -> None:
    """Without being told: the second size is the last to be compiled for."""
    run = compiled(layer.build(LIBRARIES[0][1]))
    for batch in BATCHES:
        run(*layer.inputs(batch=batch))
    assert counters["stats"]["unique_graphs"] == 2


@each_backend
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@each_layer
def test_layouts(layer: Layer, layout: torch.memory_format, backend: str) -> None:
    """Outputs and input gradients lie in memory as eager native's do."""

    def strides(run: Any) -> list[tuple[int, ...]]:
        image, *states = layer.inputs()
        if image.dim() == 4:
            image = image.contiguous(memory_format=layout)
        image.requires_grad_()
        outputs = outputs_of(run(image, *states))
        (gradient,) = torch.autograd.grad(loss_of(outputs), image)
        return [t.stride() for t in (*outputs, gradient)]

    ours, native = layer.pair()
    assert strides(compiled(ours, backend)) == strides(native)


def test_modes_of_autograd_share_one_compiled_model() -> None:
    model = Network(LIBRARIES[0][1])
    run = compiled(model)
    images = Network.images()
    expected = model(images)
    with torch.no_grad():
        assert_same_sums(run(images), expected)
    with torch.inference_mode():
        assert_same_sums(run(images), expected)
    assert run(images).requires_grad


def test_compiled_autograd() -> None:
    """The backward pass of eager code, traced and compiled as well."""
    ours, native = (Network(layers) for _, layers in LIBRARIES)
    expected = gradients_of(native, Network.images())
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        gradients = gradients_of(ours, Network.images())
    assert_same_sums(gradients, expected)


def test_the_graph_calls_our_operators() -> None:
    graphs = []

    def record(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph

    model = Network(LIBRARIES[0][1])
    torch.compile(model, fullgraph=True, backend=record)(Network.images())
    (graph,) = graphs
    assert ops_in(graph) == {"conv2d", "relu", "max_pool2d", "linear", "lstm_cell"}

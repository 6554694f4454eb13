"""FlopCounterMode counts for our operators what it counts for native's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import cnnext
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    each_layer,
    gradients_of,
    loss_of,
)


def flops_of(function: Any, *args: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops()


@each_layer
def test_flops_of_inference(layer: Layer) -> None:
    with torch.no_grad():
        ours, native = (flops_of(module, *layer.inputs()) for module in layer.pair())
    assert ours == native
    assert (ours > 0) == any(weight.dim() > 1 for weight in layer.build(nn).parameters())


@pytest.mark.parametrize("with_input", (True, False), ids=("all_gradients", "of_parameters"))
@each_layer
def test_flops_of_training(layer: Layer, with_input: bool) -> None:
    def step(module: nn.Module) -> None:
        image, *states = layer.inputs()
        loss = loss_of(module(image.requires_grad_(with_input), *states))
        if loss.requires_grad:
            loss.backward()

    ours, native = (flops_of(step, module) for module in layer.pair())
    assert ours == native


@pytest.mark.parametrize(
    "options",
    (
        {"groups": 3, "out_channels": 6},
        {"stride": 2},
        {"dilation": 2},
        {"padding": "same"},
        {"kernel_size": (2, 1)},
    ),
    ids=lambda options: next(iter(options)),
)
def test_flops_of_a_convolution_with_options(options: dict[str, Any]) -> None:
    """Native counts too many with groups; the comparison of two models is what matters."""
    arguments = {"in_channels": 3, "out_channels": 4, "kernel_size": 3, **options}
    images = Network.images().requires_grad_()
    ours, native = (
        flops_of(gradients_of, layers.Conv2d(**arguments), images) for _, layers in LIBRARIES
    )
    assert ours == native


def test_flops_of_a_linear_of_many_axes() -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    ours, native = (flops_of(gradients_of, layers.Linear(5, 7), x) for _, layers in LIBRARIES)
    assert ours == native


def test_flops_by_module() -> None:
    tables = []
    for _, layers in LIBRARIES:
        with FlopCounterMode(display=False) as counter:
            gradients_of(Network(layers), Network.images())
        tables.append(
            {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
        )
    assert tables[0] == tables[1]


def test_flops_without_computing() -> None:
    with FakeTensorMode():
        ours, native = (
            flops_of(gradients_of, Network(layers), torch.empty(2, 3, 6, 5))
            for _, layers in LIBRARIES
        )
    assert ours == native > 0


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks")
@pytest.mark.parametrize("backend", ("eager", "aot_eager"))
def test_flops_of_compiled_code(backend: str) -> None:
    """The operators that torch.compile sees, and what they are made of."""
    torch._dynamo.reset()
    model = Network(cnnext.nn)
    images = Network.images()
    run = torch.compile(model, backend=backend)
    run(images)
    assert flops_of(run, images) == flops_of(model, images)

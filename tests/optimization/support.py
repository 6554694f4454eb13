"""Graphs and captured models, run by the interpreter in float64."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cnnext.optimization.capture import Captured, captured
from cnnext.optimization.exporting import Exported
from cnnext.optimization.graph import Graph
from cnnext.optimization.passes import optimized
from tests.optimization.interpreter import interpret


def randomized(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, with statistics and affine parameters that do something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    nn.init.normal_(tensor)
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 2)
    return model.eval()


def run(graph: Graph, model: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """The outputs of a graph in float64, and of weights that are not rounded to float32."""
    weights = [weight.exact(model) for weight in graph.weights()]
    with torch.no_grad():
        return interpret(str(graph), weights, inputs)


def graph_of(model: nn.Module, *example: Any) -> Graph:
    """The graph of a model that is captured whole."""
    whole = captured(model, example or None)
    assert not whole.native
    (part,) = whole.parts
    return part.graph


def reference(model: nn.Module, *inputs: Tensor) -> Any:
    """What the model computes in float64."""
    with torch.no_grad():
        return copy.deepcopy(model).double()(*(each.double() for each in inputs))


class Interpreted(nn.Module):
    def __init__(self, graph: Graph, model: nn.Module) -> None:
        super().__init__()
        self._program = str(graph)
        self._weights = [weight.exact(model) for weight in graph.weights()]

    def forward(self, *inputs: Tensor) -> Any:
        outputs = interpret(self._program, self._weights, inputs)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def run_captured(whole: Captured, model: nn.Module, *inputs: Tensor) -> Any:
    """What a captured model computes in float64 after all passes; it cannot be used afterwards."""
    for part in whole.parts:
        setattr(part.owner, part.name, Interpreted(optimized(part.graph), model))
    exact = [each.double() for each in inputs]
    with torch.no_grad():
        if isinstance(whole.module, Exported):  # which leaves another dtype to the model
            return whole.module.result.rebuilt(whole.module.trace.double()(*exact))
        return whole.module.double()(*exact)


def assert_close(actual: Any, expected: Any) -> None:
    """Equal but for the rounding of float64: a weight rounded to float32 would be off by 1e-8."""
    if not isinstance(expected, Tensor):
        assert len(actual) == len(expected)
        for each, other in zip(actual, expected, strict=True):
            assert_close(each, other)
        return
    assert actual.shape == expected.shape
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11 * scale)

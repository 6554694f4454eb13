"""A weight follows the tensors of the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnext.optimization.graph import Graph
from cnnext.optimization.passes import optimized
from tests.optimization.support import graph_of, randomized

TINY = torch.finfo(torch.float32).tiny


def conv_norm() -> nn.Module:
    return randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))


def values(graph: Graph, model: nn.Module) -> list[torch.Tensor]:
    return [weight.value(model) for weight in graph.weights()]


@pytest.mark.parametrize(
    "path", ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
)
@pytest.mark.parametrize("how", ["written", "replaced"])
def test_what_becomes_of_a_tensor_becomes_of_the_weights(path: str, how: str) -> None:
    model = conv_norm()
    graph = optimized(graph_of(model))
    before = values(graph, model)
    layer, name = model[int(path[0])], path[2:]
    if how == "written":
        with torch.no_grad():
            getattr(layer, name).mul_(2)
    elif name.startswith("running"):
        setattr(layer, name, getattr(layer, name) * 2)
    else:
        setattr(layer, name, nn.Parameter(getattr(layer, name) * 2))
    after = values(graph, model)
    assert any(not torch.equal(new, old) for new, old in zip(after, before, strict=True))
    for new, expected in zip(after, values(optimized(graph_of(model)), model), strict=True):
        assert torch.equal(new, expected)
    read = {each for weight in graph.weights() for each in weight.paths()}
    assert path in read


def test_a_folded_norm_is_rounded_once() -> None:
    model = conv_norm()
    weight, bias = optimized(graph_of(model)).weights()
    conv, norm = model
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    with torch.no_grad():
        expected = (conv.weight.double() * scale[:, None, None, None]).float()
        torch.testing.assert_close(weight.value(model), expected, rtol=2**-23, atol=0)
        expected = (conv.bias.double() * scale + shift).float()
        torch.testing.assert_close(bias.value(model), expected, rtol=2**-23, atol=2**-60)


@pytest.mark.parametrize("folded", [False, True], ids=["plain", "folded"])
def test_subnormals_are_zeros(folded: bool) -> None:
    model = conv_norm() if folded else nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    scale = 2.0**-3 if folded else 1.0
    with torch.no_grad():
        if folded:
            norm = model[1]
            norm.weight.fill_(scale)
            norm.running_var.fill_(1 - norm.eps)
        model[0].weight[:, 0].fill_(TINY / 2)
        model[0].weight[:, 1].fill_(-TINY / scale)
    weight = optimized(graph_of(model)).weights()[0].value(model)
    assert (weight[:, 0] == 0).all()
    torch.testing.assert_close(weight[:, 1], torch.full((4, 3, 3), -TINY), rtol=1e-6, atol=0)
    assert (model[0].weight[:, 0] != 0).all()


def test_a_weight_without_subnormals_is_the_model_s_memory() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).eval()
    weight = graph_of(model).weights()[0].value(model)
    assert weight.data_ptr() == model[1].weight.data_ptr()


def test_a_weight_of_another_layout_is_contiguous() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).eval().to(memory_format=torch.channels_last)
    weight = graph_of(model).weights()[0].value(model)
    assert weight.is_contiguous()
    assert torch.equal(weight, model[0].weight)


def test_equal_weights_are_listed_once() -> None:
    conv, norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
    model = randomized(nn.Sequential(conv, norm, nn.ReLU(), conv, norm))
    assert len(optimized(graph_of(model)).weights()) == 2


def test_sizes_are_known_without_the_model() -> None:
    class Siblings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)
            self.c = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, 2), nn.BatchNorm2d(6))
            self.norm = nn.BatchNorm2d(5)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return self.c(self.a(x)), self.norm(self.b(x).relu())

    model = randomized(Siblings())
    for graph in (graph_of(model), optimized(graph_of(model))):
        for weight in graph.weights():
            assert weight.size() == tuple(weight.value(model).shape)

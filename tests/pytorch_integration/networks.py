"""Networks of `cnnext.models`, small enough to be exported within seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext import models
from cnnext.models.gcn import normalised_adjacency
from tests.ops.support import generator_for


@dataclass(frozen=True)
class SmallNetwork:
    """A model of few channels or layers, and its inputs for a batch of some size.

    Attributes:
        batched: whether the first dimension of all inputs is one that may change.
        scripted: whether the exporter to ONNX by TorchScript takes the native counterpart.
    """

    name: str
    arguments: dict[str, Any]
    inputs: Callable[[int], tuple[Tensor, ...]]
    batched: bool = True
    scripted: bool = True

    def pair(self) -> tuple[nn.Module, nn.Module]:
        """Ours and native's, with the same weights."""
        native = self._build(torch.nn)
        ours = self._build(cnnext.nn)
        ours.load_state_dict(native.state_dict())
        return ours, native

    def _build(self, layers: ModuleType) -> nn.Module:
        torch.manual_seed(0)
        return getattr(models, self.name)(layers=layers, **self.arguments).eval()


def _normal(*shape: int) -> Callable[[int], tuple[Tensor, ...]]:
    return lambda batch: (torch.randn(batch, *shape, generator=generator_for(*shape)),)


def _boxes(batch: int) -> tuple[Tensor, Tensor]:
    """As many boxes as images: larger ones for more, some of them beyond the border."""
    generator = generator_for("boxes", batch)
    images = torch.randn(batch, 3, 64, 48, generator=generator)
    corners = torch.rand(batch, 4, generator=generator) * 30 * batch - 8
    return images, torch.cat((torch.arange(batch)[:, None], corners), dim=1)


def _graph(_: int) -> tuple[Tensor, Tensor]:
    generator = generator_for("graph")
    edges = (torch.rand(7, 7, generator=generator) < 0.4).float().triu(1)
    return torch.randn(7, 6, generator=generator), normalised_adjacency(edges + edges.T)


_DEPTHS = {"num_classes": 3, "depths": (1, 1, 1, 1)}

NETWORKS = (
    SmallNetwork("mlp", {}, _normal(1, 28, 28)),
    SmallNetwork("simple_cnn", {"image_size": 8}, _normal(3, 8, 8)),
    SmallNetwork("fashion_cnn", {"image_size": 12}, _normal(1, 12, 12)),
    SmallNetwork("simple_rnn", {"hidden_size": 8}, _normal(5, 1)),
    SmallNetwork("simple_lstm", {"hidden_size": 8}, _normal(5, 1)),
    SmallNetwork("simple_gru", {"hidden_size": 8}, _normal(5, 1)),
    SmallNetwork("gcn", {"num_classes": 3, "in_features": 6}, _graph, batched=False),
    SmallNetwork("unet", {"base_width": 4}, _normal(3, 32, 16)),
    SmallNetwork("fcn", _DEPTHS, _normal(3, 32, 40)),
    SmallNetwork("deeplabv3", _DEPTHS, _normal(3, 32, 40)),
    # The TorchScript exporter wants pools of whole windows.
    SmallNetwork("pspnet", _DEPTHS, _normal(3, 48, 48)),
    SmallNetwork(
        "deconvnet",
        {"num_classes": 3, "image_size": 32, "hidden_channels": 16},
        _normal(3, 32, 32),
        scripted=False,
    ),
    SmallNetwork("fast_rcnn_head", {"num_classes": 3, "hidden_features": 16}, _boxes),
    SmallNetwork("alexnet_227", {"num_classes": 5}, _normal(3, 227, 227)),
)

# What takes seconds: weights by the hundred megabytes, or several calls of large layers.
_SLOW = {"alexnet_227", "deconvnet", "deeplabv3", "fast_rcnn_head", "fcn", "pspnet"}

each_network = pytest.mark.parametrize(
    "network",
    [
        pytest.param(network, id=network.name, marks=[pytest.mark.slow] * (network.name in _SLOW))
        for network in NETWORKS
    ],
)

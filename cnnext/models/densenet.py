"""DenseNet-121 (DenseNet-BC) and what it is made of.

Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", CVPR 2017
(https://arxiv.org/abs/1608.06993). Module names, structure and initialisation are torchvision's.
"""

from collections import OrderedDict
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import init_convolutions
from cnnext.ops.fused.blocks import in_rows

# Channels of a dense layer's 1x1 convolution over those of its output.
_BOTTLENECK = 4


class _DenseLayer(torch.nn.Module):
    """Batch normalisation, ReLU and 1x1 convolution, then the same with a 3x3 one."""

    def __init__(self, in_channels: int, growth_rate: int, layers: ModuleType) -> None:
        super().__init__()
        hidden = _BOTTLENECK * growth_rate
        self.norm1 = layers.BatchNorm2d(in_channels)
        self.relu1 = layers.ReLU(inplace=True)
        self.conv1 = layers.Conv2d(in_channels, hidden, kernel_size=1, bias=False)
        self.norm2 = layers.BatchNorm2d(hidden)
        self.relu2 = layers.ReLU(inplace=True)
        self.conv2 = layers.Conv2d(hidden, growth_rate, kernel_size=3, padding=1, bias=False)

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.conv2(self.relu2(self.norm2(x)))


class _DenseBlock(torch.nn.ModuleDict):
    """Dense layers, each of which reads the block's input and the outputs of all before it."""

    def __init__(self, depth: int, in_channels: int, growth_rate: int, layers: ModuleType) -> None:
        super().__init__()
        for i in range(depth):
            channels = in_channels + i * growth_rate
            self[f"denselayer{i + 1}"] = _DenseLayer(channels, growth_rate, layers)

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(torch.cat(features, dim=1)))
        return torch.cat(features, dim=1)


def _transition(in_channels: int, out_channels: int, layers: ModuleType) -> torch.nn.Sequential:
    """Between two blocks: fewer channels, and half the size."""
    return layers.Sequential(
        OrderedDict(
            norm=layers.BatchNorm2d(in_channels),
            relu=layers.ReLU(inplace=True),
            conv=layers.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            pool=layers.AvgPool2d(kernel_size=2, stride=2),
        )
    )


class DenseNet(torch.nn.Module):
    """A strided stem, dense blocks with transitions between them, global average pooling and a
    linear layer.

    Args:
        depths: number of layers of each dense block.
        growth_rate: channels that a layer adds.
        stem_channels: channels of the stem.
        num_classes: size of the output layer.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` with ``H, W >= 29`` for four blocks (224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        depths: Sequence[int],
        growth_rate: int = 32,
        stem_channels: int = 64,
        num_classes: int = 1000,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            OrderedDict(
                conv0=layers.Conv2d(
                    3, stem_channels, kernel_size=7, stride=2, padding=3, bias=False
                ),
                norm0=layers.BatchNorm2d(stem_channels),
                relu0=layers.ReLU(inplace=True),
                pool0=layers.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        channels = stem_channels
        for number, depth in enumerate(depths, start=1):
            if number > 1:
                transition = _transition(channels, channels // 2, layers)
                self.features.add_module(f"transition{number - 1}", transition)
                channels //= 2
            block = _DenseBlock(depth, channels, growth_rate, layers)
            self.features.add_module(f"denseblock{number}", block)
            channels += depth * growth_rate
        self.features.add_module("norm5", layers.BatchNorm2d(channels))
        self.relu = layers.ReLU(inplace=True)
        self.avgpool = layers.AdaptiveAvgPool2d((1, 1))
        self.classifier = layers.Linear(channels, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        init_convolutions(self, "fan_in")
        torch.nn.init.zeros_(self.classifier.bias)

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.relu(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def densenet121(num_classes: int = 1000, layers: ModuleType = nn) -> DenseNet:
    """DenseNet-121 (7,978,856 parameters); see :class:`DenseNet`."""
    return DenseNet((6, 12, 24, 16), num_classes=num_classes, layers=layers)

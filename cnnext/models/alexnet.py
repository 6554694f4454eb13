"""AlexNet, of one tower and as first published.

``alexnet`` is that of Krizhevsky, "One weird trick for parallelizing convolutional neural
networks", 2014 (https://arxiv.org/abs/1404.5997), which is the network of Krizhevsky, Sutskever,
Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012, without its
halves for two GPUs and its response normalisation. Module names, structure and initialisation are
torchvision's. ``alexnet_227`` is the network of 2012, initialised as there.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


class AlexNet(torch.nn.Module):
    """Five convolutions, of which the first strides by 4, and three linear layers.

    Args:
        num_classes: size of the output layer.
        dropout: probability of a zero before each of the first two linear layers.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` with ``H, W >= 63`` (224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.5, layers: ModuleType = nn
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            layers.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=3, stride=2),
            layers.Conv2d(64, 192, kernel_size=5, padding=2),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=3, stride=2),
            layers.Conv2d(192, 384, kernel_size=3, padding=1),
            layers.ReLU(inplace=True),
            layers.Conv2d(384, 256, kernel_size=3, padding=1),
            layers.ReLU(inplace=True),
            layers.Conv2d(256, 256, kernel_size=3, padding=1),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = layers.AdaptiveAvgPool2d((6, 6))
        self.classifier = layers.Sequential(
            layers.Dropout(p=dropout),
            layers.Linear(256 * 6 * 6, 4096),
            layers.ReLU(inplace=True),
            layers.Dropout(p=dropout),
            layers.Linear(4096, 4096),
            layers.ReLU(inplace=True),
            layers.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


class AlexNet227(torch.nn.Module):
    """Five convolutions, two of them with response normalisation, and three linear layers.

    Args:
        num_classes: size of the output layer.
        groups: of the second, fourth and fifth convolution; 2 are the paper's halves on two GPUs.
        dropout: probability of a zero before each of the first two linear layers.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, 227, 227)``; the paper says 224, with which its sizes do not add up
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 1000,
        groups: int = 1,
        dropout: float = 0.5,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            layers.Conv2d(3, 96, kernel_size=11, stride=4),
            layers.ReLU(inplace=True),
            _response_norm(layers),
            layers.MaxPool2d(kernel_size=3, stride=2),
            layers.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups),
            layers.ReLU(inplace=True),
            _response_norm(layers),
            layers.MaxPool2d(kernel_size=3, stride=2),
            layers.Conv2d(256, 384, kernel_size=3, padding=1),
            layers.ReLU(inplace=True),
            layers.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups),
            layers.ReLU(inplace=True),
            layers.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=3, stride=2),
        )
        self.classifier = layers.Sequential(
            layers.Dropout(p=dropout),
            layers.Linear(256 * 6 * 6, 4096),
            layers.ReLU(inplace=True),
            layers.Dropout(p=dropout),
            layers.Linear(4096, 4096),
            layers.ReLU(inplace=True),
            layers.Linear(4096, num_classes),
        )
        self._init_weights()

    def _init_weights(self) -> None:
        convolutions = [self.features[i] for i in (0, 4, 8, 10, 12)]
        linears = [self.classifier[i] for i in (1, 4, 6)]
        for module in (*convolutions, *linears):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.01)
            torch.nn.init.zeros_(module.bias)
        # So that most of what the ReLUs after these first see is positive.
        for module in (convolutions[1], *convolutions[3:], *linears[:-1]):
            torch.nn.init.ones_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def _response_norm(layers: ModuleType) -> torch.nn.LocalResponseNorm:
    """The paper's, with alpha 1e-4, which PyTorch divides by the number of channels summed."""
    return layers.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0)


def alexnet(num_classes: int = 1000, layers: ModuleType = nn) -> AlexNet:
    """AlexNet (61,100,840 parameters); see :class:`AlexNet`."""
    return AlexNet(num_classes, layers=layers)


def alexnet_227(num_classes: int = 1000, layers: ModuleType = nn, *, groups: int = 1) -> AlexNet227:
    """AlexNet of 2012 (62,378,344 parameters; 60,965,224 with two groups); see
    :class:`AlexNet227`.
    """
    return AlexNet227(num_classes, groups, layers=layers)

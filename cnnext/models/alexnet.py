"""AlexNet, of one tower.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014
(https://arxiv.org/abs/1404.5997), which is the network of Krizhevsky, Sutskever, Hinton, "ImageNet
classification with deep convolutional neural networks", NIPS 2012, without its halves for two GPUs
and its response normalisation. Module names, structure and initialisation are torchvision's.
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


def alexnet(num_classes: int = 1000, layers: ModuleType = nn) -> AlexNet:
    """AlexNet (61,100,840 parameters); see :class:`AlexNet`."""
    return AlexNet(num_classes, layers=layers)

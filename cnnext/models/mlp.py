"""Multilayer perceptron for 28x28 single-channel images.

The fully connected network that introductions to MNIST begin with.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


class MLP(torch.nn.Module):
    """Three linear layers with ReLU between them.

    Args:
        num_classes: size of the output layer.
        in_features: values of one input.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 1, 28, 28)``, or any other ``(N, ...)`` with ``in_features`` values each
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self, num_classes: int = 10, in_features: int = 784, layers: ModuleType = nn
    ) -> None:
        super().__init__()
        self.classifier = layers.Sequential(
            layers.Linear(in_features, 128),
            layers.ReLU(inplace=True),
            layers.Linear(128, 64),
            layers.ReLU(inplace=True),
            layers.Linear(64, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        return self.classifier(x)


def mlp(num_classes: int = 10, layers: ModuleType = nn, *, in_features: int = 784) -> MLP:
    """Multilayer perceptron (109,386 parameters); see :class:`MLP`."""
    return MLP(num_classes, in_features, layers)

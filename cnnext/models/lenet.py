"""LeNet-5 for 32x32 single-channel images.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998. The layer sizes are the paper's; max-pooling, ReLU and a
plain linear output stand in for its trainable subsampling, scaled tanh and RBF units, as in
every current reimplementation.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


class LeNet5(torch.nn.Module):
    """Two convolution-pool stages and three linear layers.

    Args:
        num_classes: size of the output layer.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 1, 32, 32)``
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(self, num_classes: int = 10, layers: ModuleType = nn) -> None:
        super().__init__()
        self.features = layers.Sequential(
            layers.Conv2d(1, 6, kernel_size=5),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=2),
            layers.Conv2d(6, 16, kernel_size=5),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=2),
        )
        self.classifier = layers.Sequential(
            layers.Linear(16 * 5 * 5, 120),
            layers.ReLU(inplace=True),
            layers.Linear(120, 84),
            layers.ReLU(inplace=True),
            layers.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def lenet5(num_classes: int = 10, layers: ModuleType = nn) -> LeNet5:
    """LeNet-5 (61,706 parameters with 10 classes); see :class:`LeNet5`."""
    return LeNet5(num_classes, layers)

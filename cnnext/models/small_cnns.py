"""Two small convolutional networks, for CIFAR-10 and for Fashion-MNIST.

They are those of common tutorials, and follow no paper.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_relu


class SimpleCNN(torch.nn.Module):
    """Two convolution-pool stages and two linear layers.

    Args:
        num_classes: size of the output layer.
        in_channels: channels of the input.
        image_size: height and width of the input, at least 4.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, image_size, image_size)``
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            *conv_relu(in_channels, 32, batch_norm=False, layers=layers),
            layers.MaxPool2d(kernel_size=2),
            *conv_relu(32, 64, batch_norm=False, layers=layers),
            layers.MaxPool2d(kernel_size=2),
        )
        self.classifier = layers.Sequential(
            layers.Linear(64 * (image_size // 4) ** 2, 512),
            layers.ReLU(inplace=True),
            layers.Linear(512, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


class FashionCNN(torch.nn.Module):
    """Two convolution-pool stages with batch normalisation and three linear layers.

    The second convolution is not padded, and there is no activation between the linear layers.

    Args:
        num_classes: size of the output layer.
        in_channels: channels of the input.
        image_size: height and width of the input, at least 8.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, image_size, image_size)``
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            *conv_relu(in_channels, 32, batch_norm=True, layers=layers),
            layers.MaxPool2d(kernel_size=2),
            layers.Conv2d(32, 64, kernel_size=3),
            layers.BatchNorm2d(64),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(kernel_size=2),
        )
        size = (image_size // 2 - 2) // 2
        self.classifier = layers.Sequential(
            layers.Linear(64 * size**2, 600),
            layers.Dropout(p=0.25),
            layers.Linear(600, 120),
            layers.Linear(120, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def simple_cnn(
    num_classes: int = 10,
    layers: ModuleType = nn,
    *,
    in_channels: int = 3,
    image_size: int = 32,
) -> SimpleCNN:
    """CNN for CIFAR-10 (2,122,186 parameters); see :class:`SimpleCNN`."""
    return SimpleCNN(num_classes, in_channels, image_size, layers)


def fashion_cnn(
    num_classes: int = 10,
    layers: ModuleType = nn,
    *,
    in_channels: int = 1,
    image_size: int = 28,
) -> FashionCNN:
    """CNN for Fashion-MNIST (1,475,338 parameters); see :class:`FashionCNN`."""
    return FashionCNN(num_classes, in_channels, image_size, layers)

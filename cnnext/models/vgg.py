"""VGG-11, -13, -16 and -19, with and without batch normalisation.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition",
ICLR 2015 (https://arxiv.org/abs/1409.1556), configurations A, B, D and E. Module names,
structure and initialisation are torchvision's.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_relu, init_convolutions

# Output channels of each 3x3 convolution, stage by stage; a stage ends with a 2x2 max-pool.
Stages = tuple[tuple[int, ...], ...]
_A: Stages = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_B: Stages = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
VGG16_STAGES: Stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_E: Stages = (
    (64, 64),
    (128, 128),
    (256, 256, 256, 256),
    (512, 512, 512, 512),
    (512, 512, 512, 512),
)


def make_features(stages: Stages, batch_norm: bool, layers: ModuleType) -> torch.nn.Sequential:
    """The convolutions and max-pools of a VGG."""
    modules: list[torch.nn.Module] = []
    in_channels = 3
    for stage in stages:
        for out_channels in stage:
            modules += conv_relu(in_channels, out_channels, batch_norm, layers)
            in_channels = out_channels
        modules.append(layers.MaxPool2d(kernel_size=2, stride=2))
    return layers.Sequential(*modules)


class VGG(torch.nn.Module):
    """Stages of 3x3 convolutions and three linear layers.

    Args:
        stages: output channels of the convolutions of each stage; the last must be 512.
        num_classes: size of the output layer.
        batch_norm: put a ``BatchNorm2d`` after each convolution.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` with ``H, W >= 32`` (224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        stages: Stages,
        num_classes: int = 1000,
        batch_norm: bool = False,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.features = make_features(stages, batch_norm, layers)
        self.avgpool = layers.AdaptiveAvgPool2d((7, 7))
        self.classifier = layers.Sequential(
            layers.Linear(512 * 7 * 7, 4096),
            layers.ReLU(inplace=True),
            layers.Dropout(p=0.5),
            layers.Linear(4096, 4096),
            layers.ReLU(inplace=True),
            layers.Dropout(p=0.5),
            layers.Linear(4096, num_classes),
        )
        self._init_weights()

    def _init_weights(self) -> None:
        init_convolutions(self, "fan_out")
        for module in self.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, mean=0.0, std=0.01)
                torch.nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def vgg11(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-11, configuration A (132,863,336 parameters); see :class:`VGG`."""
    return VGG(_A, num_classes, layers=layers)


def vgg11_bn(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-11 with batch normalisation (132,868,840 parameters); see :class:`VGG`."""
    return VGG(_A, num_classes, batch_norm=True, layers=layers)


def vgg13(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-13, configuration B (133,047,848 parameters); see :class:`VGG`."""
    return VGG(_B, num_classes, layers=layers)


def vgg13_bn(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-13 with batch normalisation (133,053,736 parameters); see :class:`VGG`."""
    return VGG(_B, num_classes, batch_norm=True, layers=layers)


def vgg16(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-16, configuration D (138,357,544 parameters); see :class:`VGG`."""
    return VGG(VGG16_STAGES, num_classes, layers=layers)


def vgg16_bn(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-16 with batch normalisation (138,365,992 parameters); see :class:`VGG`."""
    return VGG(VGG16_STAGES, num_classes, batch_norm=True, layers=layers)


def vgg19(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-19, configuration E (143,667,240 parameters); see :class:`VGG`."""
    return VGG(_E, num_classes, layers=layers)


def vgg19_bn(num_classes: int = 1000, layers: ModuleType = nn) -> VGG:
    """VGG-19 with batch normalisation (143,678,248 parameters); see :class:`VGG`."""
    return VGG(_E, num_classes, batch_norm=True, layers=layers)

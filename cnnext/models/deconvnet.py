"""DeconvNet, which gives every pixel a class.

Noh, Hong, Han, "Learning deconvolution network for semantic segmentation", ICCV 2015
(https://arxiv.org/abs/1505.04366): VGG-16 with batch normalisation, and its mirror image of
transposed convolutions. Convolutions are initialised as VGG's; the paper takes VGG's trained ones.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_relu, init_convolutions
from cnnext.models.vgg import VGG16_STAGES


def _norm_relu(convolution: torch.nn.Module, layers: ModuleType) -> list[torch.nn.Module]:
    norm = layers.BatchNorm2d(convolution.out_channels)
    return [convolution, norm, layers.ReLU(inplace=True)]


class DeconvNet(torch.nn.Module):
    """Five stages down by max-pooling, five up by putting values back where the maxima were.

    Args:
        num_classes: classes of a pixel.
        image_size: the smallest height and width of the input, a multiple of 32. The innermost
            convolutions take in as much.
        hidden_channels: channels of the innermost layers.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)``, ``H`` and ``W`` multiples of 32, at least ``image_size``; in
          training, ``N > 1`` where they equal it
        - Output: ``(N, num_classes, H, W)``, logits
    """

    def __init__(
        self,
        num_classes: int = 21,
        image_size: int = 224,
        hidden_channels: int = 4096,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.down, self.up = layers.ModuleList(), layers.ModuleList()
        channels = 3
        for stage in VGG16_STAGES:
            convolutions: list[torch.nn.Module] = []
            for width in stage:
                convolutions += conv_relu(channels, width, batch_norm=True, layers=layers)
                channels = width
            self.down.append(layers.Sequential(*convolutions))
        self.pool = layers.MaxPool2d(kernel_size=2, stride=2, return_indices=True)
        size, hidden = image_size // 32, hidden_channels
        self.bottom = layers.Sequential(
            *_norm_relu(layers.Conv2d(channels, hidden, size), layers),
            *_norm_relu(layers.Conv2d(hidden, hidden, kernel_size=1), layers),
            *_norm_relu(layers.ConvTranspose2d(hidden, channels, size), layers),
        )
        self.unpool = layers.MaxUnpool2d(kernel_size=2, stride=2)
        first_width = VGG16_STAGES[0][0]
        in_widths = [first_width, *(width for stage in VGG16_STAGES for width in stage)][:-1]
        for stage in reversed(VGG16_STAGES):
            convolutions = []
            for width in reversed(stage):
                transposed = layers.ConvTranspose2d(width, in_widths.pop(), 3, padding=1)
                convolutions += _norm_relu(transposed, layers)
            self.up.append(layers.Sequential(*convolutions))
        self.head = layers.Conv2d(first_width, num_classes, kernel_size=1)
        init_convolutions(self, "fan_out")

    def forward(self, x: Tensor) -> Tensor:
        maxima = []
        for convolutions in self.down:
            x, indices = self.pool(convolutions(x))
            maxima.append(indices)
        x = self.bottom(x)
        for convolutions in self.up:
            x = convolutions(self.unpool(x, maxima.pop()))
        return self.head(x)


def deconvnet(
    num_classes: int = 21,
    layers: ModuleType = nn,
    *,
    image_size: int = 224,
    hidden_channels: int = 4096,
) -> DeconvNet:
    """DeconvNet (251,805,653 parameters); see :class:`DeconvNet`."""
    return DeconvNet(num_classes, image_size, hidden_channels, layers)

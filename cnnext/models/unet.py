"""U-Net, which gives every pixel a class.

Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015 (https://arxiv.org/abs/1505.04597). The convolutions are padded, so that the output has
the input's size and nothing is cropped; initialisation is the paper's.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_relu, init_convolutions

_LEVELS = 4


def _two_convolutions(
    in_channels: int, out_channels: int, batch_norm: bool, layers: ModuleType
) -> torch.nn.Sequential:
    return layers.Sequential(
        *conv_relu(in_channels, out_channels, batch_norm, layers),
        *conv_relu(out_channels, out_channels, batch_norm, layers),
    )


class UNet(torch.nn.Module):
    """Four levels down by max-pooling, four up by transposed convolutions, which meet what the
    same level saw on the way down.

    Args:
        num_classes: classes of a pixel.
        in_channels: channels of the input.
        base_width: channels of the first level; each further level has twice as many.
        batch_norm: put a ``BatchNorm2d`` after each 3x3 convolution.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``, ``H`` and ``W`` multiples of 16
        - Output: ``(N, num_classes, H, W)``, logits
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 3,
        base_width: int = 64,
        batch_norm: bool = False,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        widths = [base_width * 2**level for level in range(_LEVELS)]
        self.down = layers.ModuleList()
        channels = in_channels
        for width in widths:
            self.down.append(_two_convolutions(channels, width, batch_norm, layers))
            channels = width
        self.pool = layers.MaxPool2d(kernel_size=2, stride=2)
        self.bottom = _two_convolutions(channels, 2 * channels, batch_norm, layers)
        self.upsample = layers.ModuleList()
        self.up = layers.ModuleList()
        for width in reversed(widths):
            self.upsample.append(layers.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2))
            self.up.append(_two_convolutions(2 * width, width, batch_norm, layers))
        self.head = layers.Conv2d(base_width, num_classes, kernel_size=1)
        init_convolutions(self, "fan_in")

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for convolutions in self.down:
            x = convolutions(x)
            skipped.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for upsample, convolutions in zip(self.upsample, self.up, strict=True):
            x = torch.cat((skipped.pop(), upsample(x)), dim=1)
            x = convolutions(x)
        return self.head(x)


def unet(
    num_classes: int = 2,
    layers: ModuleType = nn,
    *,
    in_channels: int = 3,
    base_width: int = 64,
    batch_norm: bool = False,
) -> UNet:
    """U-Net (31,031,810 parameters for two classes and three channels); see :class:`UNet`."""
    return UNet(num_classes, in_channels, base_width, batch_norm, layers)

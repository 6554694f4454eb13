"""MobileNetV2.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks",
CVPR 2018 (https://arxiv.org/abs/1801.04381). Module names, structure and initialisation are
torchvision's.
"""

from functools import partial
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_norm_activation, init_convolutions
from cnnext.ops.fused.blocks import in_rows

_conv_relu6 = partial(conv_norm_activation, activation="ReLU6")

# Expansion, output channels, number of blocks, stride of the first block (the paper's table 2).
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(torch.nn.Module):
    """1x1 expansion, 3x3 depthwise convolution, 1x1 projection without an activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the depthwise convolution.
        expansion: channels of the depthwise convolution, as a multiple of the input's; without
            expansion there is no first convolution.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``, added to the output if it has its shape
        - Output: ``(N, out_channels, ceil(H / stride), ceil(W / stride))``
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        modules: list[torch.nn.Module] = []
        if expansion != 1:
            modules.append(_conv_relu6(in_channels, hidden, 1, layers=layers))
        modules += [
            _conv_relu6(hidden, hidden, 3, stride, groups=hidden, layers=layers),
            layers.Conv2d(hidden, out_channels, kernel_size=1, bias=False),
            layers.BatchNorm2d(out_channels),
        ]
        self.conv = layers.Sequential(*modules)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)


class MobileNetV2(torch.nn.Module):
    """A strided convolution, 17 inverted residuals, a 1x1 convolution, global average pooling
    and a linear layer.

    Args:
        num_classes: size of the output layer.
        width_mult: multiplies the channels, which are rounded to multiples of 8; the last
            convolution is not made narrower.
        dropout: probability of a zero before the linear layer.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` (224 x 224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        channels = _round_channels(32 * width_mult)
        features: list[torch.nn.Module] = [_conv_relu6(3, channels, 3, stride=2, layers=layers)]
        for expansion, width, depth, first_stride in _STAGES:
            out_channels = _round_channels(width * width_mult)
            for stride in (first_stride, *[1] * (depth - 1)):
                features.append(InvertedResidual(channels, out_channels, stride, expansion, layers))
                channels = out_channels
        last = _round_channels(1280 * max(1.0, width_mult))
        features.append(_conv_relu6(channels, last, 1, layers=layers))
        self.features = layers.Sequential(*features)
        self.avgpool = layers.AdaptiveAvgPool2d((1, 1))
        self.classifier = layers.Sequential(
            layers.Dropout(p=dropout), layers.Linear(last, num_classes)
        )
        self._init_weights()

    def _init_weights(self) -> None:
        init_convolutions(self, "fan_out")
        linear = self.classifier[1]
        torch.nn.init.normal_(linear.weight, mean=0.0, std=0.01)
        torch.nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8; the next one where that would take more than a tenth away."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def mobilenet_v2(
    num_classes: int = 1000, layers: ModuleType = nn, *, width_mult: float = 1.0
) -> MobileNetV2:
    """MobileNetV2 (3,504,872 parameters, of width 1); see :class:`MobileNetV2`."""
    return MobileNetV2(num_classes, width_mult, layers=layers)

"""EfficientNet-B0 and its blocks.

Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019
(https://arxiv.org/abs/1905.11946). Module names, structure and initialisation are torchvision's.
"""

from functools import partial
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_norm_activation, init_convolutions

_conv_silu = partial(conv_norm_activation, activation="SiLU")

# Expansion, kernel size, output channels, number of blocks, stride of the first block (the paper's
# table 1).
_B0 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


class _SqueezeExcitation(torch.nn.Module):
    """Scales each channel by a number in (0, 1) that depends on the means of all channels.

    Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018 (https://arxiv.org/abs/1709.01507).
    """

    def __init__(self, channels: int, squeezed: int, layers: ModuleType) -> None:
        super().__init__()
        self.avgpool = layers.AdaptiveAvgPool2d(1)
        self.fc1 = layers.Conv2d(channels, squeezed, kernel_size=1)
        self.fc2 = layers.Conv2d(squeezed, channels, kernel_size=1)
        self.activation = layers.SiLU(inplace=True)
        self.scale_activation = layers.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.avgpool(x)
        scale = self.activation(self.fc1(scale))
        scale = self.scale_activation(self.fc2(scale))
        return scale * x


class StochasticDepth(torch.nn.Module):
    """Zeroes images of a batch in training, each with probability ``p < 1``, and divides the
    others by ``1 - p``.

    Huang, Sun, Liu, Sedra, Weinberger, "Deep networks with stochastic depth", ECCV 2016
    (https://arxiv.org/abs/1603.09382).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty((len(x), *[1] * (x.ndim - 1))).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode=row"


class MBConv(torch.nn.Module):
    """1x1 expansion, depthwise convolution, squeeze and excitation, 1x1 projection.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: of the depthwise convolution.
        stride: stride of the depthwise convolution.
        expansion: channels of the depthwise convolution, as a multiple of the input's; without
            expansion there is no first convolution.
        drop_probability: of leaving out an image's block in training; see
            :class:`StochasticDepth`.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``, added to the output if it has its shape
        - Output: ``(N, out_channels, ceil(H / stride), ceil(W / stride))``
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expansion: int,
        drop_probability: float = 0.0,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        modules: list[torch.nn.Module] = []
        if expansion != 1:
            modules.append(_conv_silu(in_channels, hidden, 1, layers=layers))
        modules += [
            _conv_silu(hidden, hidden, kernel_size, stride, groups=hidden, layers=layers),
            _SqueezeExcitation(hidden, max(1, in_channels // 4), layers),
            conv_norm_activation(hidden, out_channels, 1, layers=layers),
        ]
        self.block = layers.Sequential(*modules)
        self.stochastic_depth = StochasticDepth(drop_probability)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        if self.has_shortcut:
            out = self.stochastic_depth(out)
            out += x
        return out


class EfficientNet(torch.nn.Module):
    """A strided convolution, seven stages of :class:`MBConv`, a 1x1 convolution, global average
    pooling and a linear layer.

    Args:
        num_classes: size of the output layer.
        dropout: probability of a zero before the linear layer.
        stochastic_depth: probability of leaving out a block of the last stage in training; it
            grows from 0 with the number of blocks before.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` (224 x 224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        channels = 32
        features: list[torch.nn.Module] = [_conv_silu(3, channels, 3, stride=2, layers=layers)]
        blocks, number = sum(stage[3] for stage in _B0), 0
        for expansion, kernel_size, width, depth, first_stride in _B0:
            stage: list[torch.nn.Module] = []
            for stride in (first_stride, *[1] * (depth - 1)):
                drop = stochastic_depth * number / blocks
                stage.append(MBConv(channels, width, kernel_size, stride, expansion, drop, layers))
                channels = width
                number += 1
            features.append(layers.Sequential(*stage))
        features.append(_conv_silu(channels, 4 * channels, 1, layers=layers))
        self.features = layers.Sequential(*features)
        self.avgpool = layers.AdaptiveAvgPool2d(1)
        self.classifier = layers.Sequential(
            layers.Dropout(p=dropout, inplace=True), layers.Linear(4 * channels, num_classes)
        )
        self._init_weights()

    def _init_weights(self) -> None:
        init_convolutions(self, "fan_out")
        linear = self.classifier[1]
        limit = linear.out_features**-0.5
        torch.nn.init.uniform_(linear.weight, -limit, limit)
        torch.nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def efficientnet_b0(num_classes: int = 1000, layers: ModuleType = nn) -> EfficientNet:
    """EfficientNet-B0 (5,288,548 parameters); see :class:`EfficientNet`."""
    return EfficientNet(num_classes, layers=layers)

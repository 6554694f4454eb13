"""GoogLeNet (Inception v1) with batch normalisation.

Szegedy et al., "Going deeper with convolutions", CVPR 2015 (https://arxiv.org/abs/1409.4842).
Module names, structure and initialisation are torchvision's; as there, 3x3 convolutions stand where
the paper has 5x5 ones, and each convolution is normalised.
"""

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import in_saved_programs
from cnnext.ops.fused.blocks import in_rows


@in_saved_programs
class GoogLeNetOutputs(NamedTuple):
    """Logits ``(N, num_classes)`` of the network and of its two auxiliary classifiers.

    ``aux_logits1`` are those of ``aux1``; torchvision's tuple has the two the other way round.
    """

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class _BasicConv2d(torch.nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = layers.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, bias=False
        )
        self.bn = layers.BatchNorm2d(out_channels, eps=0.001)
        self.relu = layers.ReLU(inplace=True)

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x)
        return self.relu(x)


class Inception(torch.nn.Module):
    """Four branches whose channels are concatenated.

    Args:
        in_channels: channels of the input.
        conv1x1: channels of the 1x1 branch.
        conv3x3: channels of a 3x3 branch: of its 1x1 reduction, and of its output.
        conv5x5: likewise, of the branch that has 5x5 convolutions in the paper.
        pool: channels of the branch that pools first.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``
        - Output: ``(N, conv1x1 + conv3x3[1] + conv5x5[1] + pool, H, W)``
    """

    def __init__(
        self,
        in_channels: int,
        conv1x1: int,
        conv3x3: tuple[int, int],
        conv5x5: tuple[int, int],
        pool: int,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.branch1 = _BasicConv2d(in_channels, conv1x1, 1, layers=layers)
        self.branch2 = _reduced_conv3x3(in_channels, *conv3x3, layers)
        self.branch3 = _reduced_conv3x3(in_channels, *conv5x5, layers)
        self.branch4 = layers.Sequential(
            layers.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            _BasicConv2d(in_channels, pool, 1, layers=layers),
        )

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            (self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1
        )


def _reduced_conv3x3(
    in_channels: int, reduced: int, out_channels: int, layers: ModuleType
) -> torch.nn.Sequential:
    return layers.Sequential(
        _BasicConv2d(in_channels, reduced, 1, layers=layers),
        _BasicConv2d(reduced, out_channels, 3, layers=layers),
    )


class _AuxiliaryClassifier(torch.nn.Module):
    """Classifies what the middle of the network sees, to bring gradients there in training."""

    def __init__(
        self, in_channels: int, num_classes: int, dropout: float, layers: ModuleType
    ) -> None:
        super().__init__()
        self.avgpool = layers.AdaptiveAvgPool2d((4, 4))
        self.conv = _BasicConv2d(in_channels, 128, 1, layers=layers)
        self.fc1 = layers.Linear(128 * 4 * 4, 1024)
        self.relu = layers.ReLU(inplace=True)
        self.fc2 = layers.Linear(1024, num_classes)
        self.dropout = layers.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(x)
        x = self.conv(x)
        x = torch.flatten(x, 1)
        x = self.relu(self.fc1(x))
        x = self.dropout(x)
        return self.fc2(x)


class GoogLeNet(torch.nn.Module):
    """Three convolutions, nine Inception modules, global average pooling and a linear layer.

    torchvision's published weights were trained with the auxiliary classifiers, so they load with
    ``aux_logits=True``, and into a network without them once the keys that begin with ``aux1.`` and
    ``aux2.`` are dropped. They expect images normalised with mean and deviation 0.5, which
    torchvision's ``transform_input`` makes of ImageNet's normalisation.

    Args:
        num_classes: size of the output layer.
        aux_logits: have the two auxiliary classifiers, whose logits the network gives in training,
            too. In eval mode they do not run.
        dropout: probability of a zero before the linear layer.
        dropout_aux: probability of a zero within the auxiliary classifiers.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` with ``H, W >= 15`` (224 in the paper)
        - Output: ``(N, num_classes)``, logits; :class:`GoogLeNetOutputs` in training with
          ``aux_logits``
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.conv1 = _BasicConv2d(3, 64, 7, stride=2, layers=layers)
        self.maxpool1 = layers.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.conv2 = _BasicConv2d(64, 64, 1, layers=layers)
        self.conv3 = _BasicConv2d(64, 192, 3, layers=layers)
        self.maxpool2 = layers.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)

        self.inception3a = Inception(192, 64, (96, 128), (16, 32), 32, layers)
        self.inception3b = Inception(256, 128, (128, 192), (32, 96), 64, layers)
        self.maxpool3 = layers.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)

        self.inception4a = Inception(480, 192, (96, 208), (16, 48), 64, layers)
        self.inception4b = Inception(512, 160, (112, 224), (24, 64), 64, layers)
        self.inception4c = Inception(512, 128, (128, 256), (24, 64), 64, layers)
        self.inception4d = Inception(512, 112, (144, 288), (32, 64), 64, layers)
        self.inception4e = Inception(528, 256, (160, 320), (32, 128), 128, layers)
        self.maxpool4 = layers.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)

        self.inception5a = Inception(832, 256, (160, 320), (32, 128), 128, layers)
        self.inception5b = Inception(832, 384, (192, 384), (48, 128), 128, layers)

        self.aux1 = self.aux2 = None
        if aux_logits:
            self.aux1 = _AuxiliaryClassifier(512, num_classes, dropout_aux, layers)
            self.aux2 = _AuxiliaryClassifier(528, num_classes, dropout_aux, layers)
        self.avgpool = layers.AdaptiveAvgPool2d((1, 1))
        self.dropout = layers.Dropout(p=dropout)
        self.fc = layers.Linear(1024, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        x = self.conv1(x)
        x = self.maxpool1(x)
        x = self.conv2(x)
        x = self.conv3(x)
        x = self.maxpool2(x)

        x = self.inception3a(x)
        x = self.inception3b(x)
        x = self.maxpool3(x)

        x = self.inception4a(x)
        aux1 = self.aux1(x) if self.training and self.aux1 is not None else None
        x = self.inception4b(x)
        x = self.inception4c(x)
        x = self.inception4d(x)
        aux2 = self.aux2(x) if self.training and self.aux2 is not None else None
        x = self.inception4e(x)
        x = self.maxpool4(x)

        x = self.inception5a(x)
        x = self.inception5b(x)

        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        x = self.dropout(x)
        x = self.fc(x)
        return x if aux1 is None or aux2 is None else GoogLeNetOutputs(x, aux2, aux1)


def googlenet(
    num_classes: int = 1000, layers: ModuleType = nn, *, aux_logits: bool = False
) -> GoogLeNet:
    """GoogLeNet (6,624,904 parameters; 13,004,888 with ``aux_logits``); see :class:`GoogLeNet`."""
    return GoogLeNet(num_classes, aux_logits, layers=layers)

"""ResNet-18, -34, -50, -101 and -152, and their residual blocks.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016
(https://arxiv.org/abs/1512.03385). Module names, structure and initialisation are torchvision's;
as there, a bottleneck strides in its 3x3 convolution instead of its first 1x1 ("ResNet v1.5").
"""

from itertools import pairwise
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import init_convolutions
from cnnext.ops.fused.blocks import in_rows


def _conv3x3(
    in_channels: int, out_channels: int, stride: int, dilation: int, layers: ModuleType
) -> torch.nn.Conv2d:
    return layers.Conv2d(
        in_channels,
        out_channels,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        bias=False,
    )


def _conv1x1(
    in_channels: int, out_channels: int, stride: int, layers: ModuleType
) -> torch.nn.Conv2d:
    return layers.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)


class BasicBlock(torch.nn.Module):
    """Two 3x3 convolutions and a shortcut, the block of ResNet-18 and -34.

    Args:
        inplanes: channels of the input.
        planes: channels of both convolutions, and of the output.
        stride: stride of the first convolution.
        downsample: maps the shortcut to the output's shape; needed where the two differ.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.
        dilation: dilation of both convolutions.

    Shape:
        - Input: ``(N, inplanes, H, W)``
        - Output: ``(N, planes, ceil(H / stride), ceil(W / stride))``
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: torch.nn.Module | None = None,
        layers: ModuleType = nn,
        *,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inplanes, planes, stride, dilation, layers)
        self.bn1 = layers.BatchNorm2d(planes)
        self.relu = layers.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes, 1, dilation, layers)
        self.bn2 = layers.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)

        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(torch.nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, the block of ResNet-50, -101 and -152.

    Args:
        inplanes: channels of the input.
        planes: channels of the first two convolutions; the output has ``4 * planes``.
        stride: stride of the 3x3 convolution.
        downsample: maps the shortcut to the output's shape; needed where the two differ.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.
        dilation: dilation of the 3x3 convolution.

    Shape:
        - Input: ``(N, inplanes, H, W)``
        - Output: ``(N, 4 * planes, ceil(H / stride), ceil(W / stride))``
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: torch.nn.Module | None = None,
        layers: ModuleType = nn,
        *,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = _conv1x1(inplanes, planes, 1, layers)
        self.bn1 = layers.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride, dilation, layers)
        self.bn2 = layers.BatchNorm2d(planes)
        self.conv3 = _conv1x1(planes, planes * self.expansion, 1, layers)
        self.bn3 = layers.BatchNorm2d(planes * self.expansion)
        self.relu = layers.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)

        out = self.conv3(out)
        out = self.bn3(out)

        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(torch.nn.Module):
    """A strided stem, four stages of residual blocks, global average pooling and a linear layer.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: number of blocks of each of the four stages.
        num_classes: size of the output layer.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.
        replace_stride_with_dilation: whether each of the last three stages keeps the size of its
            input; its 3x3 convolutions and those of later stages are dilated in return.

    Shape:
        - Input: ``(N, 3, H, W)`` (224 x 224 in the paper)
        - Output: ``(N, num_classes)``, logits
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        num_classes: int = 1000,
        layers: ModuleType = nn,
        *,
        replace_stride_with_dilation: tuple[bool, bool, bool] = (False, False, False),
    ) -> None:
        super().__init__()
        self.conv1 = layers.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = layers.BatchNorm2d(64)
        self.relu = layers.ReLU(inplace=True)
        self.maxpool = layers.MaxPool2d(kernel_size=3, stride=2, padding=1)
        out = block.expansion
        strides = [1 if replaced else 2 for replaced in replace_stride_with_dilation]
        dilations = [1]
        for stride in strides:
            dilations.append(dilations[-1] * 2 // stride)
        # A stage that does not stride still begins with a block of its input's dilation.
        second, third, fourth = pairwise(dilations)
        self.layer1 = _make_stage(block, 64, 64, depths[0], 1, (1, 1), layers)
        self.layer2 = _make_stage(block, 64 * out, 128, depths[1], strides[0], second, layers)
        self.layer3 = _make_stage(block, 128 * out, 256, depths[2], strides[1], third, layers)
        self.layer4 = _make_stage(block, 256 * out, 512, depths[3], strides[2], fourth, layers)
        self.avgpool = layers.AdaptiveAvgPool2d((1, 1))
        self.fc = layers.Linear(512 * out, num_classes)
        init_convolutions(self, "fan_out")

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)

        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)

        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


def _make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    inplanes: int,
    planes: int,
    depth: int,
    stride: int,
    dilations: tuple[int, int],
    layers: ModuleType,
) -> torch.nn.Sequential:
    """Chains ``depth`` blocks, of which the first takes the stride and the change of channels.

    ``dilations`` are those of the first block and of the others.
    """
    outplanes = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outplanes:
        downsample = layers.Sequential(
            _conv1x1(inplanes, outplanes, stride, layers),
            layers.BatchNorm2d(outplanes),
        )
    first, others = dilations
    blocks = [block(inplanes, planes, stride, downsample, layers, dilation=first)]
    blocks += [block(outplanes, planes, layers=layers, dilation=others) for _ in range(depth - 1)]
    return layers.Sequential(*blocks)


def resnet18(num_classes: int = 1000, layers: ModuleType = nn) -> ResNet:
    """ResNet-18 (11,689,512 parameters); see :class:`ResNet`."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, layers)


def resnet34(num_classes: int = 1000, layers: ModuleType = nn) -> ResNet:
    """ResNet-34 (21,797,672 parameters); see :class:`ResNet`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, layers)


def resnet50(num_classes: int = 1000, layers: ModuleType = nn) -> ResNet:
    """ResNet-50 (25,557,032 parameters); see :class:`ResNet`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, layers)


def resnet101(num_classes: int = 1000, layers: ModuleType = nn) -> ResNet:
    """ResNet-101 (44,549,160 parameters); see :class:`ResNet`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, layers)


def resnet152(num_classes: int = 1000, layers: ModuleType = nn) -> ResNet:
    """ResNet-152 (60,192,808 parameters); see :class:`ResNet`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, layers)

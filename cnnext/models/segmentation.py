"""FCN, DeepLabV3 and PSPNet on a dilated ResNet, which give every pixel a class.

Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015
(https://arxiv.org/abs/1411.4038); Chen, Papandreou, Schroff, Adam, "Rethinking atrous convolution
for semantic image segmentation", 2017 (https://arxiv.org/abs/1706.05587); Zhao, Shi, Qi, Wang, Jia,
"Pyramid scene parsing network", CVPR 2017 (https://arxiv.org/abs/1612.01105). Module names,
structure and initialisation of the first two are torchvision's ``fcn_resnet50`` and
``deeplabv3_resnet50``, and PSPNet's are alike. None has an auxiliary classifier: torchvision's
published weights load once the keys that begin with ``aux_classifier.`` are dropped.
"""

from collections import OrderedDict
from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.resnet import Bottleneck, ResNet

Depths = tuple[int, int, int, int]
_RESNET50: Depths = (3, 4, 6, 3)
_TRUNK_CHANNELS = 2048
_ASPP_CHANNELS = 256
_ASPP_RATES = (12, 24, 36)
_PYRAMID_SIZES = (1, 2, 3, 6)
_PYRAMID_CHANNELS = 512


def _dilated_trunk(depths: Depths, layers: ModuleType) -> torch.nn.Sequential:
    """A ResNet of bottlenecks without its classifier, whose output has an eighth of the size."""
    resnet = ResNet(
        Bottleneck, depths, layers=layers, replace_stride_with_dilation=(False, True, True)
    )
    return layers.Sequential(
        OrderedDict((n, m) for n, m in resnet.named_children() if n not in ("avgpool", "fc"))
    )


def _conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    layers: ModuleType,
    dilation: int = 1,
) -> list[torch.nn.Module]:
    return [
        layers.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            bias=False,
        ),
        layers.BatchNorm2d(out_channels),
        layers.ReLU(),
    ]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class _SegmentationNetwork(torch.nn.Module):
    """A dilated trunk and a classifier of its pixels, whose logits are brought to the input's size.

    ``classifier`` is the subclass's.
    """

    classifier: torch.nn.Module

    def __init__(self, depths: Depths, layers: ModuleType) -> None:
        super().__init__()
        self.backbone = _dilated_trunk(depths, layers)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = self.backbone(x)
        x = self.classifier(x)
        return _resized(x, size)


class FCN(_SegmentationNetwork):
    """A dilated ResNet and two convolutions.

    Args:
        num_classes: classes of a pixel.
        depths: number of blocks of each of the ResNet's stages.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)``
        - Output: ``(N, num_classes, H, W)``, logits
    """

    def __init__(
        self, num_classes: int = 21, depths: Depths = _RESNET50, layers: ModuleType = nn
    ) -> None:
        super().__init__(depths, layers)
        channels = _TRUNK_CHANNELS // 4
        self.classifier = layers.Sequential(
            *_conv_norm_relu(_TRUNK_CHANNELS, channels, 3, layers),
            layers.Dropout(p=0.1),
            layers.Conv2d(channels, num_classes, kernel_size=1),
        )


class _ImagePooling(torch.nn.Sequential):
    """The mean over the image, convolved, at every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return _resized(super().forward(x), x.shape[-2:])


class ASPP(torch.nn.Module):
    """Atrous spatial pyramid pooling: five branches, joined by a 1x1 convolution.

    They are a 1x1 convolution, three 3x3 ones of growing dilation, and the mean over the image.

    Args:
        in_channels: channels of the input.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``; in training, ``N > 1``
        - Output: ``(N, 256, H, W)``
    """

    def __init__(self, in_channels: int, layers: ModuleType = nn) -> None:
        super().__init__()
        width = _ASPP_CHANNELS
        self.convs = layers.ModuleList(
            [
                layers.Sequential(*_conv_norm_relu(in_channels, width, 1, layers)),
                *(
                    layers.Sequential(*_conv_norm_relu(in_channels, width, 3, layers, rate))
                    for rate in _ASPP_RATES
                ),
                _ImagePooling(
                    layers.AdaptiveAvgPool2d(1), *_conv_norm_relu(in_channels, width, 1, layers)
                ),
            ]
        )
        self.project = layers.Sequential(
            *_conv_norm_relu(len(self.convs) * width, width, 1, layers), layers.Dropout(p=0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([branch(x) for branch in self.convs], dim=1)
        return self.project(x)


class DeepLabV3(_SegmentationNetwork):
    """A dilated ResNet, atrous spatial pyramid pooling and two convolutions.

    Args:
        num_classes: classes of a pixel.
        depths: number of blocks of each of the ResNet's stages.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)``; in training, ``N > 1``
        - Output: ``(N, num_classes, H, W)``, logits
    """

    def __init__(
        self, num_classes: int = 21, depths: Depths = _RESNET50, layers: ModuleType = nn
    ) -> None:
        super().__init__(depths, layers)
        self.classifier = layers.Sequential(
            ASPP(_TRUNK_CHANNELS, layers),
            *_conv_norm_relu(_ASPP_CHANNELS, _ASPP_CHANNELS, 3, layers),
            layers.Conv2d(_ASPP_CHANNELS, num_classes, kernel_size=1),
        )


class PyramidPooling(torch.nn.Module):
    """The input, and its means over 1, 4, 9 and 36 parts of the image, each convolved.

    Args:
        in_channels: channels of the input.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, H, W)``; in training, ``N > 1``
        - Output: ``(N, 2 * in_channels, H, W)``
    """

    def __init__(self, in_channels: int, layers: ModuleType = nn) -> None:
        super().__init__()
        width = in_channels // len(_PYRAMID_SIZES)
        self.branches = layers.ModuleList(
            layers.Sequential(
                layers.AdaptiveAvgPool2d(size), *_conv_norm_relu(in_channels, width, 1, layers)
            )
            for size in _PYRAMID_SIZES
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = [_resized(branch(x), x.shape[-2:]) for branch in self.branches]
        return torch.cat((x, *pooled), dim=1)


class PSPNet(_SegmentationNetwork):
    """A dilated ResNet, pyramid pooling and two convolutions.

    Args:
        num_classes: classes of a pixel.
        depths: number of blocks of each of the ResNet's stages.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)``; in training, ``N > 1``
        - Output: ``(N, num_classes, H, W)``, logits
    """

    def __init__(
        self, num_classes: int = 21, depths: Depths = _RESNET50, layers: ModuleType = nn
    ) -> None:
        super().__init__(depths, layers)
        self.classifier = layers.Sequential(
            PyramidPooling(_TRUNK_CHANNELS, layers),
            *_conv_norm_relu(2 * _TRUNK_CHANNELS, _PYRAMID_CHANNELS, 3, layers),
            layers.Dropout(p=0.1),
            layers.Conv2d(_PYRAMID_CHANNELS, num_classes, kernel_size=1),
        )


def fcn(num_classes: int = 21, layers: ModuleType = nn, *, depths: Depths = _RESNET50) -> FCN:
    """FCN on ResNet-50 (32,957,013 parameters); see :class:`FCN`."""
    return FCN(num_classes, depths, layers)


def deeplabv3(
    num_classes: int = 21, layers: ModuleType = nn, *, depths: Depths = _RESNET50
) -> DeepLabV3:
    """DeepLabV3 on ResNet-50 (39,638,869 parameters); see :class:`DeepLabV3`."""
    return DeepLabV3(num_classes, depths, layers)


def pspnet(num_classes: int = 21, layers: ModuleType = nn, *, depths: Depths = _RESNET50) -> PSPNet:
    """PSPNet on ResNet-50 (46,592,597 parameters); see :class:`PSPNet`."""
    return PSPNet(num_classes, depths, layers)

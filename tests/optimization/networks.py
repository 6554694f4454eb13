"""Small networks, each with something that a capture has to get right."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(c_in: int, c_out: int, kernel: int = 3, **options: Any) -> nn.Sequential:
    padding = options.pop("padding", kernel // 2)
    conv = nn.Conv2d(c_in, c_out, kernel, padding=padding, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class ResidualBefore(nn.Module):
    """ResNet's block: the activation follows the addition."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.shortcut = conv_norm(3, 8), conv_norm(8, 8), conv_norm(3, 8, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.relu(self.a(x)))
        y += self.shortcut(x)
        return self.relu(y)


class ResidualAfter(nn.Module):
    """YOLO's: it precedes the addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = conv_norm(3, 8), conv_norm(8, 8), conv_norm(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        return x + F.silu(self.b(F.silu(self.a(x))))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.straight, self.first, self.second = (conv_norm(3, c, 1) for c in (4, 5, 6))
        self.wide, self.wider, self.pooled = (
            conv_norm(5, 7, 3),
            conv_norm(6, 4, 5),
            conv_norm(3, 4, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            F.relu(self.straight(x)),
            F.relu(self.wide(F.relu(self.first(x)))),
            F.relu(self.wider(F.relu(self.second(x), inplace=True))),
            F.relu(self.pooled(F.max_pool2d(x, 3, 1, 1))),
        ]
        return torch.cat(branches, 1)


class Dense(nn.Module):
    """DenseNet's block: normalization before the convolution, all values kept; and what halves."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (3, 7, 11))
        self.convs = nn.ModuleList(nn.Conv2d(c, 4, 3, padding=1) for c in (3, 7, 11))
        self.transition = nn.Conv2d(15, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        return F.avg_pool2d(self.transition(torch.cat(features, dim=1)), 2)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_norm(3, 8)
        self.down, self.up = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.conv(x))
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = torch.sigmoid(self.up(F.relu(self.down(scale))))
        return scale * x


class GatedBottleneck(nn.Module):
    """EfficientNet's: a squeeze-excitation before the convolution that narrows."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.depthwise = conv_norm(3, 12, 1), conv_norm(12, 12, 5, groups=12)
        self.down, self.up, self.narrow = nn.Conv2d(12, 2, 1), nn.Conv2d(2, 12, 1), conv_norm(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.depthwise(F.silu(self.widen(x))))
        gate = F.silu(self.down(y.mean((2, 3), keepdim=True)))
        return self.narrow(torch.sigmoid(self.up(gate)) * y) + x


class Preactivated(nn.Module):
    """The second ResNet's block and, with the activation alone, Xception's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norms = nn.Conv2d(3, 4, 3), nn.ModuleList(nn.BatchNorm2d(4) for _ in "ab")
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(4, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.stem(x)))
        x = self.b(F.relu(self.norms[1](self.a(y)))) + self.shortcut(y)
        x = self.a(F.relu(self.norms[0](x))) + x
        return x + self.depthwise(F.relu(x))


class Chunked(nn.Module):
    """C2f's way: a part goes on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.last = conv_norm(3, 8), conv_norm(4, 4), conv_norm(12, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = F.silu(self.stem(x)).chunk(2, 1)
        c = b + F.silu(self.block(b))
        return self.last(torch.cat((a, b, c), dim=-3))


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = conv_norm(3, 9), conv_norm(2, 4), conv_norm(7, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.stem(x)
        a, b = torch.split(x, [2, 7], dim=1)
        return self.left(a), self.right(b), F.relu(x[:, 3:-1])


class Separable(nn.Module):
    """MobileNet's block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv_norm(3, 12, 1),
            nn.ReLU6(inplace=True),
            conv_norm(12, 12, 3, groups=12, stride=2),
            nn.ReLU6(inplace=True),
            conv_norm(12, 3, 1),
            nn.Dropout(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + F.avg_pool2d(x, 2)


class Classifier(nn.Module):
    """A head by each of the ways that lead from pixels to features."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv, self.norm = conv_norm(3, 6, stride=2), nn.BatchNorm1d(5)
        self.linear = nn.Linear(6 * 8 * 8 if way in ("constant", "view", "module") else 6, 5)
        self.flatten = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        if self.way == "view":
            x = x.view(x.size(0), -1)
        elif self.way == "constant":
            x = x.view(-1, 6 * 8 * 8)
        elif self.way == "module":
            x = self.flatten(x)
        elif self.way == "mean":
            x = x.mean([2, 3])
        elif self.way == "mean-kept":
            x = torch.flatten(x.mean((-2, -1), keepdim=True), 1)
        else:
            x = F.adaptive_avg_pool2d(x, (1, 1)).reshape(x.shape[0], -1)
        x = F.dropout(x, 0.5, self.training)
        return F.softmax(self.norm(self.linear(x)), dim=-1)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = conv_norm(3, 4), conv_norm(4, 8)
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 4, 2, stride=2), nn.BatchNorm2d(4))
        self.nearest = nn.Upsample(scale_factor=2)
        self.bilinear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.last = nn.Conv2d(4 + 4 + 8 + 8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.leaky_relu(self.down(x), 0.2)
        x = F.gelu(self.middle(F.max_pool2d(skip, 2)))
        ups = [F.relu(self.up(x)), self.nearest(x), self.bilinear(x)]
        return self.last(torch.cat([skip, *ups], 1))


class UNetOfAnySize(nn.Module):
    """What goes up gets the size of what it is concatenated with."""

    def __init__(self) -> None:
        super().__init__()
        self.downs = nn.ModuleList((conv_norm(3, 4), conv_norm(4, 8), conv_norm(8, 8)))
        self.ups = nn.ModuleList((conv_norm(16, 4), conv_norm(8, 3)))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, down in enumerate(self.downs):
            x = F.relu(down(F.max_pool2d(x, 3, 2, 1) if i else x))
            skips.append(x)
        for up, skip in zip(self.ups, skips[-2::-1], strict=True):
            x = F.interpolate(x, skip.size()[2:], mode="bilinear", align_corners=True)
            x = F.relu(up(torch.cat([skip, x], dim=1)))
        return x


class FeaturePyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        strided = (conv_norm(3, 4, stride=2), conv_norm(4, 6, stride=2), conv_norm(6, 8, stride=2))
        self.stages = nn.ModuleList(strided)
        self.laterals = nn.ModuleList(nn.Conv2d(c, 5, 1) for c in (4, 6, 8))
        self.outputs = nn.ModuleList(nn.Conv2d(5, 5, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = []
        for stage in self.stages:
            x = F.relu(stage(x))
            features.append(x)
        c3, c4, c5 = (lateral(x) for lateral, x in zip(self.laterals, features, strict=True))
        p5 = c5
        p4 = c4 + F.interpolate(p5, scale_factor=2, mode="nearest")
        p3 = c3 + F.interpolate(p4, size=c3.shape[-2:], mode="nearest")
        return tuple(conv(p) for conv, p in zip(self.outputs, (p3, p4, p5), strict=True))


class Segmentation(nn.Module):
    """DeepLab's head: the mean of an image goes back to its size, the result to the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = conv_norm(3, 8, stride=2)
        self.narrow, self.wide = conv_norm(8, 4, 1), conv_norm(8, 4, 3, padding=2, dilation=2)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(8, 4, 1), nn.ReLU())
        self.project, self.classifier = conv_norm(12, 6, 1), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        input_shape = x.shape[-2:]
        x = F.relu(self.backbone(x))
        size = (x.shape[2], x.shape[3])
        pooled = F.interpolate(self.pooled(x), size=size, mode="bilinear", align_corners=False)
        x = torch.cat([F.relu(self.narrow(x)), F.relu(self.wide(x)), pooled], 1)
        x = self.classifier(F.relu(self.project(x)))
        return F.interpolate(x, size=input_shape, mode="bilinear", align_corners=False)


class YoloNeck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.deep, self.deeper = conv_norm(3, 4, stride=2), conv_norm(4, 6, stride=2)
        self.up, self.fused = nn.Upsample(None, 2, "nearest"), conv_norm(10, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        deep = F.silu(self.deep(x))
        deeper = F.silu(self.deeper(deep))
        return F.silu(self.fused(torch.cat([self.up(deeper), deep], 1))), deeper


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """torchvision's."""
    batchsize, num_channels, height, width = x.size()
    channels_per_group = num_channels // groups
    x = x.view(batchsize, groups, channels_per_group, height, width)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(batchsize, num_channels, height, width)


class ShuffleNet(nn.Module):
    """A block of ShuffleNetV2 that halves the image, and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(
            conv_norm(3, 3, stride=2, groups=3), conv_norm(3, 5, 1), nn.ReLU(inplace=True)
        )
        self.right = self.branch(3, 2)
        self.branches = nn.ModuleList((self.branch(5), self.branch(5)))

    def branch(self, c_in: int, stride: int = 1) -> nn.Sequential:
        narrow, wide = conv_norm(c_in, 5, 1), conv_norm(5, 5, 1)
        depthwise = conv_norm(5, 5, stride=stride, groups=5)
        return nn.Sequential(narrow, nn.ReLU(inplace=True), depthwise, wide, nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        x = channel_shuffle(torch.cat((self.left(x), self.right(x)), dim=1), 2)
        for branch in self.branches:
            kept, changed = x.chunk(2, dim=1)
            x = channel_shuffle(torch.cat((kept, branch(changed)), dim=1), 2)
        return x


class SuperResolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.shuffle = nn.Sequential(nn.ChannelShuffle(4), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.shuffle(self.last(F.relu(self.first(x)))), 1)


class Pools(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding="same")
        self.second = nn.Conv2d(4, 4, 4, padding="same")
        self.pools = nn.ModuleList(
            (nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1, ceil_mode=True))
            + (nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(2, divisor_override=3))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.pools[0](self.first(F.pad(x, (1, 0, 2, 1)))))
        x = self.pools[1](torch.tanh(self.second(x)))
        return self.pools[3](self.pools[2](x))


class Branching(nn.Module):
    """Values with two users, which are not fused."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.conv(x)
        z = self.norm(y)
        return y + z, F.relu(z), z + z, F.max_pool2d(y, 2)


def network(name: str) -> nn.Module:
    """A new one."""
    if name.startswith("classifier-"):
        return Classifier(name.removeprefix("classifier-"))
    return {cls.__name__: cls for cls in _CLASSES}[name]()


_CLASSES: tuple[Any, ...] = (
    *(ResidualBefore, ResidualAfter, Inception, Dense, SqueezeExcite, Chunked, Split),
    *(Separable, UNet, UNetOfAnySize, FeaturePyramid, Segmentation, YoloNeck, ShuffleNet),
    *(SuperResolution, Pools, Branching, GatedBottleneck, Preactivated),
)
NAMES = (
    *(cls.__name__ for cls in _CLASSES),
    *(f"classifier-{way}" for way in ("view", "constant", "module", "mean", "mean-kept", "pool")),
)

"""Convolutions of known networks, and small ones at the corners of the definition."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from cnnext.testing.cases import VECTOR_SIZES, Conv2dCase


def _square(
    name: str, c_in: int, size: int, c_out: int, k: int, stride: int = 1, count: int = 1
) -> Conv2dCase:
    """A square convolution of batch 1, padded to keep its size as in the networks."""
    options: dict[str, Any] = {"stride": (stride, stride), "padding": (k // 2, k // 2)}
    return Conv2dCase(name, 1, c_in, size, size, c_out, k, k, count=count, **options)


def _layer(
    network: str, k: int, c_in: int, c_out: int, size: int, count: int, stride: int = 1
) -> Conv2dCase:
    """A `_square` convolution, named after its network and sizes."""
    channels = f"{c_in}" if c_in == c_out else f"{c_in}_{c_out}"
    suffix = "" if stride == 1 else f"_s{stride}"
    name = f"{network}_{k}x{k}{suffix}_{channels}@{size}"
    return _square(name, c_in, size, c_out, k, stride, count)


def _resnet50() -> tuple[Conv2dCase, ...]:
    """The distinct convolutions of ResNet-50 v1.5, whose stage stride is on the 3x3."""

    layer = functools.partial(_layer, "resnet50")
    convs = [layer(7, 3, 64, 224, count=1, stride=2)]
    c_in, size = 64, 56
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        c_out, stride = 4 * width, 1 if stage == 0 else 2
        out = size // stride
        convs.append(layer(1, c_in, width, size, count=1))
        if stride == 1:
            # Here the shortcut's projection has the shape of the blocks' last convolution.
            convs.append(layer(3, width, width, out, count=blocks))
            convs.append(layer(1, width, c_out, out, count=blocks + 1))
        else:
            convs.append(layer(3, width, width, size, count=1, stride=stride))
            convs.append(layer(3, width, width, out, count=blocks - 1))
            convs.append(layer(1, width, c_out, out, count=blocks))
            convs.append(layer(1, c_in, c_out, size, count=1, stride=stride))
        convs.append(layer(1, c_out, width, out, count=blocks - 1))
        c_in, size = c_out, out
    return tuple(convs)


def _googlenet() -> tuple[Conv2dCase, ...]:
    """The distinct convolutions of GoogLeNet (Szegedy et al. 2014, table 1) behind the first.

    With the paper's 5x5 branches and the 3x3 ones that torchvision has in their place.
    """
    inceptions = (  # size, channels in, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
        (28, 192, 64, 96, 128, 16, 32, 32),
        (28, 256, 128, 128, 192, 32, 96, 64),
        (14, 480, 192, 96, 208, 16, 48, 64),
        (14, 512, 160, 112, 224, 24, 64, 64),
        (14, 512, 128, 128, 256, 24, 64, 64),
        (14, 512, 112, 144, 288, 32, 64, 64),
        (14, 528, 256, 160, 320, 32, 128, 128),
        (7, 832, 256, 160, 320, 32, 128, 128),
        (7, 832, 384, 192, 384, 48, 128, 128),
    )
    layers = [(1, 64, 64, 56), (3, 64, 192, 56)]  # kernel, channels in and out, size
    for size, c_in, one, reduce3, three, reduce5, five, pool in inceptions:
        layers += [(1, c_in, c_out, size) for c_out in (one, reduce3, reduce5, pool)]
        layers += [(3, reduce3, three, size), (3, reduce5, five, size), (5, reduce5, five, size)]
    return tuple(
        _layer("googlenet", k, c_in, c_out, size, count)
        for (k, c_in, c_out, size), count in Counter(layers).items()
    )


LENET5 = (
    Conv2dCase("lenet5_conv1", 1, 1, 32, 32, 6, 5, 5),
    Conv2dCase("lenet5_conv2", 1, 6, 14, 14, 16, 5, 5),
)

ALEXNET = (  # torchvision's, of one tower
    Conv2dCase("alexnet_conv1", 1, 3, 224, 224, 64, 11, 11, stride=(4, 4), padding=(2, 2)),
    _square("alexnet_conv2", 64, 27, 192, 5),
    _square("alexnet_conv3", 192, 13, 384, 3),
    _square("alexnet_conv4", 384, 13, 256, 3),
    _square("alexnet_conv5", 256, 13, 256, 3),
)

VGG16 = (
    _square("vgg16_conv1_1", 3, 224, 64, 3),
    _square("vgg16_conv1_2", 64, 224, 64, 3),
    _square("vgg16_conv2_1", 64, 112, 128, 3),
    _square("vgg16_conv2_2", 128, 112, 128, 3),
    _square("vgg16_conv3_1", 128, 56, 256, 3),
    _square("vgg16_conv3_2", 256, 56, 256, 3, count=2),
    _square("vgg16_conv4_1", 256, 28, 512, 3),
    _square("vgg16_conv4_2", 512, 28, 512, 3, count=2),
    _square("vgg16_conv5_1", 512, 14, 512, 3, count=3),
)

RESNET50 = _resnet50()

GOOGLENET = _googlenet()


def _edge(name: str, *sizes: Any, **options: Any) -> Conv2dCase:
    return Conv2dCase(f"edge_{name}", *sizes, **options)


#: Small convolutions at the corners of the definition: (n, c_in, h_in, w_in, c_out, k_h, k_w).
EDGE = (
    *(_edge(f"c_out_{c}", 1, 3, 5, 6, c, 3, 3, padding=(1, 1)) for c in VECTOR_SIZES),
    *(_edge(f"c_in_{c}", 1, c, 5, 6, 4, 3, 3, padding=(1, 1)) for c in VECTOR_SIZES),
    *(_edge(f"width_{w}", 2, 3, 4, w, 5, 3, 3, padding=(1, 1)) for w in VECTOR_SIZES),
    *(_edge(f"1x1_{c}", 2, c, 3, 5, c + 1, 1, 1) for c in VECTOR_SIZES),
    _edge("1x1_s2", 2, 17, 9, 8, 33, 1, 1, stride=(2, 2)),
    _edge("1x1_padded", 1, 5, 4, 4, 6, 1, 1, padding=(1, 2)),
    _edge("single_output", 1, 9, 5, 5, 7, 5, 5),
    _edge("large_kernel_7x7_s2", 1, 3, 17, 15, 8, 7, 7, stride=(2, 2), padding=(3, 3)),
    _edge("5x5", 2, 9, 9, 14, 8, 5, 5, padding=(2, 2)),
    _edge("5x5_full_padding", 1, 17, 5, 4, 33, 5, 5, padding=(4, 3)),
    _edge("3x3_full_padding", 1, 9, 6, 5, 17, 3, 3, padding=(2, 2)),
    _edge("3x3_long_rows", 1, 17, 5, 83, 9, 3, 3, padding=(1, 1)),
    _edge("3x3_many_tiles", 2, 8, 50, 45, 33, 3, 3),
    _edge("3x3_many_channels", 1, 150, 9, 10, 40, 3, 3, padding=(1, 1)),
    _edge("even_2x2", 1, 7, 9, 8, 9, 2, 2),
    _edge("even_4x4_s2", 1, 7, 10, 9, 9, 4, 4, stride=(2, 2), padding=(1, 1)),
    _edge("asymmetric_1x7", 1, 8, 7, 17, 16, 1, 7, padding=(0, 3)),
    _edge("asymmetric_7x1", 1, 8, 17, 7, 16, 7, 1, padding=(3, 0)),
    _edge("asymmetric_options", 2, 3, 11, 13, 4, 3, 2, (2, 1), (1, 2), (1, 3)),
    _edge("stride_above_kernel", 1, 8, 13, 13, 9, 2, 2, stride=(3, 5)),
    _edge("padding_above_kernel", 1, 4, 3, 3, 5, 3, 3, padding=(5, 4)),
    _edge("padding_only_rows", 1, 4, 5, 5, 5, 3, 3, padding=(2, 0)),
    _edge("dilated_2", 1, 8, 11, 12, 9, 3, 3, padding=(2, 2), dilation=(2, 2)),
    _edge("dilated_s2", 2, 9, 13, 11, 8, 3, 3, (2, 2), (3, 3), (3, 2)),
    _edge("dilated_of_48", 1, 48, 11, 12, 40, 3, 3, padding=(2, 2), dilation=(2, 2)),
    _edge("3x3_s2_of_32", 2, 32, 9, 7, 17, 3, 3, (2, 2), (1, 1)),
    _edge("dilated_above_input", 1, 3, 4, 4, 5, 3, 3, padding=(6, 6), dilation=(6, 6)),
    _edge("dilated_far_apart", 1, 9, 26, 6, 17, 3, 2, padding=(9, 2), dilation=(9, 4)),
    _edge("idle_taps_3x3", 2, 5, 6, 5, 9, 3, 3, padding=(8, 8), dilation=(8, 8)),
    _edge("idle_taps_5x3_s2", 1, 5, 9, 9, 8, 5, 3, (2, 2), (20, 12), (10, 12)),
    _edge("groups_2", 1, 16, 7, 7, 34, 3, 3, padding=(1, 1), groups=2),
    _edge("groups_3_odd", 2, 21, 6, 5, 27, 3, 3, padding=(1, 1), groups=3),
    _edge("groups_1x1", 1, 24, 5, 5, 12, 1, 1, groups=4),
    *(
        _edge(f"depthwise_{c}", 1, c, 8, 9, c, 3, 3, padding=(1, 1), groups=c)
        for c in (1, 8, 17, 33)
    ),
    _edge("depthwise_far_apart", 1, 17, 26, 6, 17, 3, 2, (1, 1), (9, 2), (9, 4), 17),
    _edge("depthwise_s2", 2, 16, 9, 9, 16, 3, 3, (2, 2), (1, 1), (1, 1), 16),
    _edge("depthwise_multiplier_2", 1, 9, 7, 7, 18, 3, 3, padding=(1, 1), groups=9),
    _edge("empty_batch", 0, 3, 6, 5, 4, 3, 3, padding=(1, 1)),
    _edge("batch_3", 3, 5, 6, 7, 6, 3, 3, padding=(1, 1)),
)

#: What tiles make of their edges: several of them, partial ones, many slices.
GPU = (
    Conv2dCase("two_tiles_of_pixels_and_channels", 1, 3, 9, 9, 70, 3, 3, padding=(1, 1)),
    Conv2dCase("exact_tiles", 1, 16, 8, 8, 64, 1, 1),
    Conv2dCase("one_channel_more_than_a_tile", 2, 65, 5, 3, 65, 1, 2),
    Conv2dCase("groups_of_two_tiles", 1, 6, 6, 11, 132, 2, 2, groups=2),
    Conv2dCase("seven_slices_of_pixels", 3, 2, 37, 33, 5, 3, 3, (1, 1), (1, 1)),
    Conv2dCase("slices_of_two_groups", 2, 4, 29, 31, 6, 3, 2, (1, 1), (1, 0), groups=2),
)

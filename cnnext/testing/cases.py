"""Named operator shapes, shared by the tests and the benchmarks.

A case is a frozen dataclass: plain integers, a ``name`` which is its test id and benchmark row
(``str(case)``), and derived sizes as methods. The names say where a shape comes from:
``resnet50_3x3_s2_128@56`` is the 3x3 convolution of stride 2 with 128 channels that reads 56x56
in ResNet-50. Where a network holds the same convolution several times, ``count`` says how often.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

CaseT = TypeVar("CaseT", bound="Case")


@dataclass(frozen=True)
class Case:
    """The common part of all cases: a name that is the test id and the benchmark row."""

    name: str

    def __str__(self) -> str:
        return self.name

    def with_batch(self: CaseT, batch: int) -> CaseT:
        """The case at another batch size; its name gets the suffix ``_b<batch>``."""
        raise NotImplementedError

    def sizes(self) -> dict[str, Any]:
        """Every field but the name, for a stored row."""
        return {key: value for key, value in asdict(self).items() if key != "name"}


def _with_batch(case: CaseT, field: str, batch: int) -> CaseT:
    """The case at another batch size; its name gets the suffix ``_b<batch>``."""
    if getattr(case, field) == batch:
        return case
    return replace(case, name=f"{case.name}_b{batch}", **{field: batch})


def _sliding_out(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Positions of a sliding window along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class Conv2dCase(Case):
    """A convolution: input (n, c_in, h_in, w_in), weight (c_out, c_in / groups, k_h, k_w)."""

    n: int
    c_in: int
    h_in: int
    w_in: int
    c_out: int
    k_h: int
    k_w: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    count: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.c_in, self.h_in, self.w_in)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.c_out, self.c_in // self.groups, self.k_h, self.k_w)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        h_out, w_out = (
            _sliding_out(size, kernel, stride, padding, dilation)
            for size, kernel, stride, padding, dilation in zip(
                (self.h_in, self.w_in),
                (self.k_h, self.k_w),
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        return (self.n, self.c_out, h_out, w_out)

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct method, a multiply-add counted as two."""
        return 2 * math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of ``conv2d`` other than tensors."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def with_batch(self, n: int) -> Conv2dCase:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class PoolCase(Case):
    """A pool over (n, channels, h_in, w_in); what a subclass adds are arguments of its function."""

    n: int
    channels: int
    h_in: int
    w_in: int

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.channels, self.h_in, self.w_in)

    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of the pool other than the input."""
        common = {field.name for field in fields(PoolCase)}
        return {name: value for name, value in vars(self).items() if name not in common}

    def with_batch(self: CaseT, n: int) -> CaseT:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class MaxPool2dCase(PoolCase):
    """A call of ``max_pool2d``."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False


@dataclass(frozen=True)
class AvgPool2dCase(PoolCase):
    """A call of ``avg_pool2d``."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


@dataclass(frozen=True)
class AdaptivePool2dCase(PoolCase):
    """A call of ``adaptive_avg_pool2d`` or ``adaptive_max_pool2d``."""

    output_size: tuple[int, int]


@dataclass(frozen=True)
class ReluCase(Case):
    """A ReLU over ``shape``, whose first size is the batch."""

    shape: tuple[int, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    def with_batch(self, n: int) -> ReluCase:
        if self.shape[0] == n:
            return self
        return ReluCase(f"{self.name}_b{n}", (n, *self.shape[1:]))


@dataclass(frozen=True)
class LinearCase(Case):
    """A fully connected layer: input (m, k), weight (n, k), output (m, n)."""

    m: int
    k: int
    n: int

    @property
    def input_shape(self) -> tuple[int, int]:
        return (self.m, self.k)

    @property
    def weight_shape(self) -> tuple[int, int]:
        return (self.n, self.k)

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    def with_batch(self, m: int) -> LinearCase:
        return _with_batch(self, "m", m)


@dataclass(frozen=True)
class LSTMCellCase(Case):
    """An LSTM cell: input (batch, input), states (batch, hidden), four gates."""

    batch: int
    input: int
    hidden: int

    @property
    def input_shape(self) -> tuple[int, int]:
        return (self.batch, self.input)

    @property
    def flops(self) -> int:
        """Operations of the two matrix products; the gates' functions are not counted."""
        return 2 * self.batch * 4 * self.hidden * (self.input + self.hidden)

    def with_batch(self, batch: int) -> LSTMCellCase:
        return _with_batch(self, "batch", batch)


@dataclass(frozen=True)
class LSTMCase(Case):
    """A layer of an LSTM over whole sequences: input (steps, batch, input)."""

    batch: int
    steps: int
    input: int
    hidden: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.steps, self.batch, self.input)

    @property
    def flops(self) -> int:
        """Operations of the two matrix products; the gates' functions are not counted."""
        return 2 * self.steps * self.batch * 4 * self.hidden * (self.input + self.hidden)

    def with_batch(self, batch: int) -> LSTMCase:
        return _with_batch(self, "batch", batch)


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

POOLS = (
    MaxPool2dCase("lenet5_pool1", 64, 6, 28, 28, (2, 2), (2, 2)),
    MaxPool2dCase("lenet5_pool2", 64, 16, 10, 10, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool1", 1, 64, 224, 224, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool2", 1, 128, 112, 112, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool3", 1, 256, 56, 56, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool4", 1, 512, 28, 28, (2, 2), (2, 2)),
    MaxPool2dCase("vgg16_pool5", 1, 512, 14, 14, (2, 2), (2, 2)),
    MaxPool2dCase("resnet50_pool", 1, 64, 112, 112, (3, 3), (2, 2), (1, 1)),
)

AVG_POOLS = (
    AvgPool2dCase("lenet5_avg_pool1", 64, 6, 28, 28, (2, 2), (2, 2)),
    AvgPool2dCase("densenet121_transition1", 1, 128, 56, 56, (2, 2), (2, 2)),
    AvgPool2dCase("densenet121_transition3", 1, 512, 14, 14, (2, 2), (2, 2)),
    AvgPool2dCase("inception_v3_mixed5b_pool", 1, 192, 35, 35, (3, 3), (1, 1), (1, 1)),
)

ADAPTIVE_AVG_POOLS = (
    AdaptivePool2dCase("resnet50_avgpool", 1, 2048, 7, 7, (1, 1)),
    AdaptivePool2dCase("vgg16_avgpool", 1, 512, 7, 7, (7, 7)),
    AdaptivePool2dCase("mobilenet_v3_squeeze_72@28", 1, 72, 28, 28, (1, 1)),
    AdaptivePool2dCase("pspnet_pool_6", 1, 2048, 60, 60, (6, 6)),
)

ADAPTIVE_MAX_POOLS = (
    AdaptivePool2dCase("cbam_channel_256@56", 1, 256, 56, 56, (1, 1)),
    AdaptivePool2dCase("sppnet_pool_6", 1, 256, 13, 13, (6, 6)),
    AdaptivePool2dCase("sppnet_pool_3", 1, 256, 13, 13, (3, 3)),
)

RELUS = (
    ReluCase("lenet5_relu1", (64, 6, 28, 28)),
    ReluCase("lenet5_relu3", (64, 120)),
    ReluCase("vgg16_relu1_1", (1, 64, 224, 224)),
    ReluCase("resnet50_relu_64@112", (1, 64, 112, 112)),
    ReluCase("resnet50_relu_256@56", (1, 256, 56, 56)),
    ReluCase("resnet50_relu_2048@7", (1, 2048, 7, 7)),
)

LINEARS = (
    LinearCase("lenet5_fc1", 64, 400, 120),
    LinearCase("lenet5_fc2", 64, 120, 84),
    LinearCase("lenet5_fc3", 64, 84, 10),
    LinearCase("vgg16_fc6", 1, 25088, 4096),
    LinearCase("vgg16_fc7", 1, 4096, 4096),
    LinearCase("vgg16_fc8", 1, 4096, 1000),
    LinearCase("resnet50_fc", 1, 2048, 1000),
)

LSTM_CELLS = tuple(
    LSTMCellCase(f"lstm_cell_b{batch}_{hidden}", batch, hidden, hidden)
    for batch, hidden in ((1, 32), (1, 128), (32, 128), (64, 512))
)

#: One short series and many, as of sensors; words; and words of a large vocabulary.
LSTMS = tuple(
    LSTMCase(f"lstm_b{batch}_t50_{hidden}", batch, 50, inputs, hidden)
    for batch, inputs, hidden in ((1, 1, 32), (1000, 1, 32), (32, 128, 128), (64, 512, 512))
)

#: Sizes one below, at and one above the vector widths (4, 8 and 16 floats) and their doubles.
VECTOR_SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33)


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

EDGE_POOLS = (
    *(MaxPool2dCase(f"edge_pool_width_{w}", 2, 3, 6, w + 1, (2, 2), (2, 2)) for w in VECTOR_SIZES),
    *(
        MaxPool2dCase(f"edge_pool_channels_{c}", 1, c, 6, 7, (3, 3), (2, 2), (1, 1))
        for c in VECTOR_SIZES
    ),
    MaxPool2dCase("edge_pool_overlapping", 1, 5, 9, 9, (3, 3), (1, 1), (1, 1)),
    MaxPool2dCase("edge_pool_asymmetric", 1, 4, 9, 11, (2, 3), (3, 1), (1, 0)),
    MaxPool2dCase("edge_pool_stride_above_kernel", 1, 4, 11, 11, (2, 2), (4, 3)),
    MaxPool2dCase("edge_pool_dilated", 1, 4, 11, 12, (3, 2), (2, 2), (1, 1), (2, 3)),
    MaxPool2dCase("edge_pool_ceil", 1, 4, 8, 8, (3, 3), (2, 2), (0, 0), (1, 1), True),
    MaxPool2dCase("edge_pool_ceil_padded", 1, 4, 7, 6, (2, 2), (2, 2), (1, 1), (1, 1), True),
    MaxPool2dCase("edge_pool_global", 2, 9, 7, 5, (7, 5), (7, 5)),
    MaxPool2dCase("edge_pool_window_above_256", 1, 2, 18, 17, (17, 17), (1, 1), (8, 8)),
    MaxPool2dCase("edge_pool_empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)

EDGE_AVG_POOLS = (
    *(AvgPool2dCase(f"edge_avg_width_{w}", 2, 3, 6, w + 1, (2, 2), (2, 2)) for w in VECTOR_SIZES),
    *(
        AvgPool2dCase(f"edge_avg_channels_{c}", 1, c, 6, 7, (3, 3), (2, 2), (1, 1))
        for c in VECTOR_SIZES
    ),
    AvgPool2dCase("edge_avg_overlapping", 1, 5, 9, 9, (3, 3), (1, 1), (1, 1)),
    AvgPool2dCase("edge_avg_asymmetric", 1, 4, 9, 11, (2, 3), (3, 1), (1, 0)),
    AvgPool2dCase("edge_avg_stride_above_kernel", 1, 4, 11, 11, (2, 2), (4, 3)),
    AvgPool2dCase("edge_avg_uncounted", 1, 4, 7, 8, (3, 4), (2, 2), (1, 2), False, False),
    AvgPool2dCase("edge_avg_ceil", 1, 4, 8, 8, (3, 3), (2, 2), (0, 0), True),
    AvgPool2dCase("edge_avg_ceil_padded", 1, 4, 7, 6, (2, 2), (2, 2), (1, 1), True),
    AvgPool2dCase("edge_avg_ceil_uncounted", 1, 4, 7, 6, (4, 4), (3, 3), (2, 1), True, False),
    AvgPool2dCase("edge_avg_divisor", 1, 9, 7, 6, (3, 2), (2, 2), (1, 1), True, False, 5),
    AvgPool2dCase("edge_avg_divisor_negative", 1, 3, 6, 6, (2, 2), (1, 1), divisor_override=-3),
    AvgPool2dCase("edge_avg_global", 2, 9, 7, 5, (7, 5), (7, 5)),
    AvgPool2dCase("edge_avg_large_window", 1, 2, 40, 37, (31, 30), (3, 4), (15, 15)),
    AvgPool2dCase("edge_avg_two_channel_blocks", 1, 259, 4, 4, (2, 2), (2, 2)),
    AvgPool2dCase("edge_avg_empty_batch", 0, 3, 6, 6, (2, 2), (2, 2)),
)

EDGE_ADAPTIVE_POOLS = (
    *(AdaptivePool2dCase(f"edge_adaptive_width_{w}", 2, 3, 6, w, (3, 4)) for w in VECTOR_SIZES),
    *(AdaptivePool2dCase(f"edge_adaptive_channels_{c}", 1, c, 7, 5, (3, 2)) for c in VECTOR_SIZES),
    AdaptivePool2dCase("edge_adaptive_global", 2, 9, 7, 5, (1, 1)),
    AdaptivePool2dCase("edge_adaptive_columns", 1, 5, 9, 37, (1, 37)),
    AdaptivePool2dCase("edge_adaptive_rows", 1, 5, 37, 9, (37, 1)),
    AdaptivePool2dCase("edge_adaptive_larger_output", 1, 3, 4, 5, (7, 11)),
    AdaptivePool2dCase("edge_adaptive_identity", 1, 17, 6, 5, (6, 5)),
    AdaptivePool2dCase("edge_adaptive_large_plane", 1, 2, 70, 91, (2, 3)),
    AdaptivePool2dCase("edge_adaptive_two_channel_blocks", 1, 259, 4, 4, (3, 2)),
    AdaptivePool2dCase("edge_adaptive_empty_batch", 0, 3, 6, 6, (2, 2)),
)

EDGE_RELUS = (
    *(ReluCase(f"edge_relu_{size}", (size,)) for size in (0, *VECTOR_SIZES)),
    ReluCase("edge_relu_nchw", (2, 3, 5, 7)),
)

EDGE_LINEARS = (
    *(LinearCase(f"edge_linear_{size}", 3, size, size + 1) for size in VECTOR_SIZES),
    LinearCase("edge_linear_empty_batch", 0, 5, 4),
    LinearCase("edge_linear_no_features", 2, 0, 3),
)

EDGE_LSTMS = tuple(LSTMCase(f"edge_lstm_{size}", 3, 4, size + 2, size) for size in VECTOR_SIZES)

EDGE_LSTM_CELLS = (
    *(LSTMCellCase(f"edge_lstm_cell_{size}", 3, size + 2, size) for size in VECTOR_SIZES),
    LSTMCellCase("edge_lstm_cell_empty_batch", 0, 3, 4),
)

#: By operator: the cases that speed is measured on.
BENCHMARK_CASES: dict[str, tuple[Case, ...]] = {
    "conv2d": (
        *(case.with_batch(64) for case in LENET5),
        *ALEXNET,
        *VGG16,
        *GOOGLENET,
        *RESNET50,
    ),
    "max_pool2d": POOLS,
    "avg_pool2d": AVG_POOLS,
    "adaptive_avg_pool2d": ADAPTIVE_AVG_POOLS,
    "adaptive_max_pool2d": ADAPTIVE_MAX_POOLS,
    "relu": RELUS,
    "linear": LINEARS,
    "lstm_cell": LSTM_CELLS,
    "lstm": LSTMS,
}

#: By operator: the small cases that only correctness is checked on.
EDGE_CASES: dict[str, tuple[Case, ...]] = {
    "conv2d": EDGE,
    "max_pool2d": EDGE_POOLS,
    "avg_pool2d": EDGE_AVG_POOLS,
    "adaptive_avg_pool2d": EDGE_ADAPTIVE_POOLS,
    "adaptive_max_pool2d": EDGE_ADAPTIVE_POOLS,
    "relu": EDGE_RELUS,
    "linear": EDGE_LINEARS,
    "lstm_cell": EDGE_LSTM_CELLS,
    "lstm": EDGE_LSTMS,
}

OPS = tuple(BENCHMARK_CASES)

"""What the cases of `cnnext.testing.specs` are: operator shapes with names.

A case is a frozen dataclass: plain integers, a ``name`` which is its test id and benchmark row
(``str(case)``), and derived sizes as methods. The names say where a shape comes from:
``resnet50_3x3_s2_128@56`` is the 3x3 convolution of stride 2 with 128 channels that reads 56x56
in ResNet-50. Where a network holds the same convolution several times, ``count`` says how often.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

CaseT = TypeVar("CaseT", bound="Case")
TensorCaseT = TypeVar("TensorCaseT", bound="TensorCase")

Shape = tuple[int, ...]

#: How many terms are added up for each output, and for the gradient of each operand.
Terms = tuple[tuple[int, ...], tuple[int, ...]]

#: Sizes one below, at and one above the vector widths (4, 8 and 16 floats) and their doubles.
VECTOR_SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33)


@dataclass(frozen=True)
class Case:
    """The common part of all cases: a name that is the test id and the benchmark row."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def operand_shapes(self) -> tuple[Shape | None, ...]:
        """The shapes of the operator's operands, in its order; None for one that it lacks."""
        raise NotImplementedError

    def kwargs(self) -> dict[str, Any]:
        """The operator's keyword arguments other than operands."""
        return {}

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


def _options(case: Case, *names: str) -> dict[str, Any]:
    """The fields of these names."""
    return {name: getattr(case, name) for name in names}


def _added(case: Case, base: type[Case]) -> dict[str, Any]:
    """The fields that a subclass has added to those of `base`."""
    common = {field.name for field in fields(base)}
    return {name: value for name, value in vars(case).items() if name not in common}


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

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.input_shape, self.weight_shape, (self.c_out,))

    @property
    def terms(self) -> Terms:
        taps = math.prod(self.weight_shape[1:])
        pixels = math.prod(self.output_shape) // self.c_out
        return (taps + 1,), (self.c_out * self.k_h * self.k_w, pixels, pixels)

    def kwargs(self) -> dict[str, Any]:
        return _options(self, "stride", "padding", "dilation", "groups")

    def with_batch(self, n: int) -> Conv2dCase:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class Conv1dCase(Case):
    """A convolution of sequences: input (n, c_in, length), weight (c_out, c_in / groups, k)."""

    n: int
    c_in: int
    length: int
    c_out: int
    k: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.n, self.c_in, self.length)

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.input_shape, (self.c_out, self.c_in // self.groups, self.k), (self.c_out,))

    def kwargs(self) -> dict[str, Any]:
        return _options(self, "stride", "padding", "dilation", "groups")

    def with_batch(self, n: int) -> Conv1dCase:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class Conv3dCase(Case):
    """A convolution: input (n, c_in, *volume), weight (c_out, c_in / groups, *kernel)."""

    n: int
    c_in: int
    volume: tuple[int, int, int]
    c_out: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int] = (1, 1, 1)
    padding: tuple[int, int, int] = (0, 0, 0)
    dilation: tuple[int, int, int] = (1, 1, 1)
    groups: int = 1

    @property
    def input_shape(self) -> tuple[int, int, int, int, int]:
        return (self.n, self.c_in, *self.volume)

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        weight = (self.c_out, self.c_in // self.groups, *self.kernel)
        return (self.input_shape, weight, (self.c_out,))

    def kwargs(self) -> dict[str, Any]:
        return _options(self, "stride", "padding", "dilation", "groups")

    def with_batch(self, n: int) -> Conv3dCase:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class ConvTranspose2dCase(Case):
    """A transposed convolution: its weight is (c_in, c_out / groups, k_h, k_w)."""

    n: int
    c_in: int
    h_in: int
    w_in: int
    c_out: int
    k_h: int
    k_w: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.c_in, self.h_in, self.w_in)

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        weight = (self.c_in, self.c_out // self.groups, self.k_h, self.k_w)
        return (self.input_shape, weight, (self.c_out,))

    def kwargs(self) -> dict[str, Any]:
        return _options(self, "stride", "padding", "output_padding", "groups", "dilation")

    def with_batch(self, n: int) -> ConvTranspose2dCase:
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

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.input_shape,)

    def kwargs(self) -> dict[str, Any]:
        return _added(self, PoolCase)

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

    @property
    def terms(self) -> Terms:
        """The elements of a window, or the windows that hold an element; and a quotient each."""
        sides = zip(self.kernel_size, self.stride, strict=True)
        covering = math.prod(-(-kernel // stride) for kernel, stride in sides)
        return (math.prod(self.kernel_size) + 1,), (covering + 1,)


@dataclass(frozen=True)
class AdaptivePool2dCase(PoolCase):
    """A call of ``adaptive_avg_pool2d`` or ``adaptive_max_pool2d``."""

    output_size: tuple[int, int]

    @property
    def terms(self) -> Terms:
        """As of `AvgPool2dCase`, of the largest window."""
        sides = list(zip((self.h_in, self.w_in), self.output_size, strict=True))
        window = math.prod(-(-size // out) + 1 for size, out in sides)
        covering = math.prod(-(-out // size) + 1 for size, out in sides)
        return (window + 1,), (covering + 1,)


@dataclass(frozen=True)
class MaxUnpool2dCase(PoolCase):
    """A call of ``max_unpool2d``."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Pool1dCase(Case):
    """A pool over (n, channels, length); what a subclass adds are arguments of its function."""

    n: int
    channels: int
    length: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.n, self.channels, self.length)

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.input_shape,)

    def kwargs(self) -> dict[str, Any]:
        return _added(self, Pool1dCase)

    def with_batch(self: CaseT, n: int) -> CaseT:
        return _with_batch(self, "n", n)


@dataclass(frozen=True)
class MaxPool1dCase(Pool1dCase):
    """A call of ``max_pool1d``."""

    kernel_size: int
    stride: int
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False


@dataclass(frozen=True)
class AvgPool1dCase(Pool1dCase):
    """A call of ``avg_pool1d``."""

    kernel_size: int
    stride: int
    padding: int = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    @property
    def terms(self) -> Terms:
        """As of `AvgPool2dCase`."""
        return (self.kernel_size + 1,), (-(-self.kernel_size // self.stride) + 1,)


@dataclass(frozen=True)
class AdaptiveMaxPool1dCase(Pool1dCase):
    """A call of ``adaptive_max_pool1d``."""

    output_size: int


@dataclass(frozen=True)
class RoIPoolCase(PoolCase):
    """A call of ``roi_pool`` with a number of boxes."""

    output_size: tuple[int, int]
    spatial_scale: float
    count: int

    def kwargs(self) -> dict[str, Any]:
        return {"output_size": self.output_size, "spatial_scale": self.spatial_scale}


@dataclass(frozen=True)
class TensorCase(Case):
    """A tensor of any shape, whose first size is the batch.

    What a subclass adds are numbers that its function takes.
    """

    shape: Shape

    @property
    def input_shape(self) -> Shape:
        return self.shape

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.shape,)

    def kwargs(self) -> dict[str, Any]:
        return _added(self, TensorCase)

    def with_batch(self: TensorCaseT, n: int) -> TensorCaseT:
        if self.shape[0] == n:
            return self
        return replace(self, name=f"{self.name}_b{n}", shape=(n, *self.shape[1:]))


@dataclass(frozen=True)
class ElementwiseCase(TensorCase):
    """A call of an element-wise operator."""


@dataclass(frozen=True)
class DropoutCase(TensorCase):
    """A call of ``dropout``."""

    p: float


@dataclass(frozen=True)
class BatchNormCase(Case):
    """Batch normalisation of a tensor (n, channels, ...) with a weight and a bias.

    ``count`` says how often a network holds it.
    """

    shape: Shape
    training: bool = True
    eps: float = 1e-5
    count: int = 1

    @property
    def input_shape(self) -> Shape:
        return self.shape

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        channels = (self.shape[1],)
        return (self.shape, channels, channels)

    def kwargs(self) -> dict[str, Any]:
        return _options(self, "training", "eps")

    def with_batch(self, n: int) -> BatchNormCase:
        if self.shape[0] == n:
            return self
        return replace(self, name=f"{self.name}_b{n}", shape=(n, *self.shape[1:]))


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

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        return (self.input_shape, self.weight_shape, (self.n,))

    def with_batch(self, m: int) -> LinearCase:
        return _with_batch(self, "m", m)


def _recurrent_weights(input: int, hidden: int) -> tuple[Shape, ...]:
    """The shapes of w_ih, w_hh, b_ih, b_hh of an LSTM."""
    gates = 4 * hidden
    return (gates, input), (gates, hidden), (gates,), (gates,)


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

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        state = (self.batch, self.hidden)
        return (self.input_shape, state, state, *_recurrent_weights(self.input, self.hidden))

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

    @property
    def operand_shapes(self) -> tuple[Shape, ...]:
        state = (1, self.batch, self.hidden)
        return (self.input_shape, state, state, *_recurrent_weights(self.input, self.hidden))

    def with_batch(self, batch: int) -> LSTMCase:
        return _with_batch(self, "batch", batch)

"""The four pools: csrc/pooling/average.h, and to the bit csrc/pooling/maximum.h."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numerics import INPUT_KINDS, assert_same_bits, generator
from problem import Operands, Problem, Results, Sums
from windows import LAYOUTS, Axis, Pair, Windows, pack, sliding_fields, sliding_windows, unpack

#: Cases that tests have which do not need every size.
REPRESENTATIVE = (
    *("3x3_s1_17@31", "width_107_s3", "ceil_2x2", "dilation_ceil_s2", "channels_131"),
    *("bands_3x3_s2", "large_window", "global@90", "planes_9", "larger_output", "channels_519"),
)


@dataclass(frozen=True)
class Planes:
    """An image and the windows over it."""

    name: str
    n: int
    c: int
    image: Pair

    @property
    def shape(self) -> Shape:
        """The fields that the kernels of both pools take."""
        (h_in, w_in), (h_out, w_out) = self.image, self.windows.out
        sizes = {"h_in": h_in, "w_in": w_in, "h_out": h_out, "w_out": w_out}
        return {"n": self.n, "c": self.c, **sizes}

    @property
    def windows(self) -> Windows:
        raise NotImplementedError


@dataclass(frozen=True)
class Sliding(Planes):
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    out: Pair | None = None  # where it is not the floor

    @property
    def shape(self) -> Shape:
        return super().shape | sliding_fields(self)

    @cached_property
    def windows(self) -> Windows:
        return sliding_windows(self, *([self.out] if self.out else []))


@dataclass(frozen=True)
class Adaptive(Planes):
    out: Pair

    @cached_property
    def windows(self) -> Windows:
        return Windows(*map(Axis.adaptive, self.image, self.out))


@dataclass(frozen=True)
class Pool(Problem):
    planes: Sliding | Adaptive
    layout: str = field(compare=False, repr=False)

    @property
    def representative(self) -> bool:
        return self.planes.name in REPRESENTATIVE


@dataclass(frozen=True)
class AveragePool(Pool, Sums):
    counts_padding: bool = True
    divisor: int = 0

    def __str__(self) -> str:
        counted = "" if self.counts_padding else "-uncounted"
        divided = f"-by_{self.divisor}" if self.divisor else ""
        return f"{self.planes.name}{counted}{divided}-{self.layout}"

    @property
    def shape(self) -> Shape:
        shape = {**self.planes.shape, "layout": self.layout}
        if isinstance(self.planes, Adaptive):
            return shape
        del shape["dilation_h"], shape["dilation_w"]
        counted = "yes" if self.counts_padding else "no"
        return {**shape, "count_include_pad": counted, "divisor_override": self.divisor}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        n, c = self.planes.n, self.planes.c
        return {"x": (n, c, *self.planes.image), "y": (n, c, *self.planes.windows.out)}

    @cached_property
    def divisors(self) -> Array:
        """What the sum of each window is divided by."""
        windows, planes = self.planes.windows, self.planes
        if self.divisor:
            return np.full(windows.out, self.divisor)
        if isinstance(planes, Adaptive) or not self.counts_padding:
            return windows.inside.sum((2, 3))
        padded = [size + 2 * pad for size, pad in zip(planes.image, planes.padding, strict=True)]
        on_padded = replace(planes, image=tuple(padded), padding=(0, 0), out=windows.out)
        return on_padded.windows.inside.sum((2, 3))

    def terms(self, direction: str) -> int:
        inside = self.planes.windows.inside
        if direction == "forward":
            return inside.sum((2, 3)).max() + 1
        # One rounding more for each quotient, and two for its divisor.
        return self.planes.windows.scatter(inside.astype(int)).max() + 3

    def exact(self, direction: str, operands: Operands) -> Array:
        windows = self.planes.windows
        if direction == "forward":
            return windows.gather(operands.x, outside=0).sum((-2, -1)) / self.divisors
        quotients = (operands.dy / self.divisors)[..., None, None]
        return windows.scatter(np.broadcast_to(quotients, (*operands.dy.shape, *windows.taps)))

    def run(self, kernel: Kernel, operands: Operands, *, threads: int) -> Results:
        read, written = ("x", "y") if kernel.direction == "forward" else ("dy", "x")
        packed = pack(getattr(operands, read), self.layout)
        flat = kernel.run(packed, threads=threads, **self.shape)
        return {"result": unpack(flat, self.shapes[written], self.layout)}


class MaxOperands(NamedTuple):
    x: Array
    dy: Array
    #: What both passes give: y, offsets, indices and dx.
    results: Results


@dataclass(frozen=True)
class MaxPool(Pool):
    record: str

    def __str__(self) -> str:
        return f"{self.planes.name}-{self.layout}-{self.record}"

    @property
    def shape(self) -> Shape:
        recorded = {"record": self.record} if isinstance(self.planes, Sliding) else {}
        return {**self.planes.shape, "layout": self.layout, **recorded}

    def suits(self, kernel: Kernel) -> bool:
        reads_nothing = kernel.direction == "bwd_input" and self.record == "nothing"
        return not reads_nothing and super().suits(kernel)

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, MaxOperands]]:
        for kind in (*INPUT_KINDS, *SPECIAL_KINDS):
            yield kind, draw_and_pool(self.planes, kind, kernel.dtype)

    def run(self, kernel: Kernel, operands: MaxOperands, *, threads: int) -> Results:
        if kernel.direction == "forward":
            options = [self.record != "nothing"] * isinstance(self.planes, Adaptive)
            x = pack(operands.x, self.layout)
            y, positions = kernel.run(x, *options, threads=threads, **self.shape)
            assert (positions is None) == (self.record == "nothing")
            results = {"y": y} if positions is None else {"y": y, self.record: positions}
        else:
            arrays = (operands.dy, operands.results[self.record])
            packed = [pack(a, self.layout) for a in arrays]
            results = {"dx": kernel.run(*packed, threads=threads, **self.shape)}
        return {
            name: unpack(flat, operands.results[name].shape, self.layout)
            for name, flat in results.items()
        }

    def check(self, kernel: Kernel, operands: MaxOperands, results: Results, what: str) -> None:
        for name, result in results.items():
            assert_same_bits(result, operands.results[name], f"{name}, {what}")


def _nans_of_many_payloads(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """A fifth is NaN, each with other bits, so that the result tells which was taken."""
    values = rng.standard_normal(shape).astype(dtype)
    bits = np.full(shape, np.nan, dtype).view(f"u{values.itemsize}")
    bits |= rng.integers(1, 1 << 16, shape, bits.dtype)
    return np.where(rng.random(shape) < 0.2, bits.view(dtype), values)


def _ties(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    return rng.choice(np.array([-1.0, -0.0, 0.0, 1.0], dtype), shape)


def _minus_infinities(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Nine tenths are -inf, so that many windows hold nothing else."""
    values = rng.standard_normal(shape).astype(dtype)
    return np.where(rng.random(shape) < 0.9, values.dtype.type(-np.inf), values)


SPECIAL_KINDS = {
    "nans": _nans_of_many_payloads,
    "ties": _ties,
    "minus_infinities": _minus_infinities,
}


@cache
def draw_and_pool(planes: Sliding | Adaptive, kind: str, dtype: str) -> MaxOperands:
    """The gradient of the output is of whole numbers, whose sums are exact in any order."""
    rng, windows = generator("max pool", planes, kind, dtype), planes.windows
    shape = (planes.n, planes.c, *planes.image)
    draw = SPECIAL_KINDS.get(kind)
    x = draw(rng, shape, dtype) if draw else INPUT_KINDS[kind](rng, shape).astype(dtype)
    y_shape = (*shape[:2], *windows.out)
    dy = rng.integers(-8, 8, y_shape).astype(dtype)

    values = windows.gather(x, outside=-np.inf).reshape(*y_shape, -1)
    offsets = chosen_of(values, windows.inside.reshape(*windows.out, -1))[..., None]
    positions = np.broadcast_to(windows.positions.reshape(*windows.out, -1), values.shape)
    y, indices = (np.take_along_axis(a, offsets, -1)[..., 0] for a in (values, positions))
    dx = np.zeros((planes.n * planes.c, planes.image[0] * planes.image[1]), dtype)
    of_planes = (len(dx), -1)
    np.add.at(dx, (np.arange(len(dx))[:, None], indices.reshape(of_planes)), dy.reshape(of_planes))
    results = {"y": y, "indices": indices.astype(np.int64), "dx": dx.reshape(shape)}
    return MaxOperands(x, dy, {**results, "offsets": offsets[..., 0].astype(np.uint8)})


def chosen_of(values: Array, inside: Array) -> Array:
    """Which of the values [..., taps] is taken: the last NaN, else the first maximum inside."""
    is_nan = np.isnan(values)
    last_nan = values.shape[-1] - 1 - is_nan[..., ::-1].argmax(-1)
    others = np.where(is_nan, -np.inf, values)
    maximum = np.where(others.max(-1) == -np.inf, inside.argmax(-1), others.argmax(-1))
    return np.where(is_nan.any(-1), last_nan, maximum)


SLIDING = [
    *(
        Sliding(f"2x2_{c}@{width}", 2, c, (4, 2 * width), (2, 2), (2, 2))
        for c, width in zip(SIZES, SIZES[::-1], strict=True)
    ),
    *(
        Sliding(f"3x3_s1_{c}@{width}", 1, c, (5, width), (3, 3), (1, 1), (1, 1))
        for c, width in zip(SIZES, SIZES[1:] + SIZES[:1], strict=True)
    ),
    Sliding("one_element", 1, 1, (1, 1), (1, 1), (1, 1)),
    Sliding("stem_3x3_s2", 1, 35, (19, 39), (3, 3), (2, 2), (1, 1)),
    Sliding("width_72_s2", 1, 3, (4, 72), (2, 2), (2, 2)),
    Sliding("width_107_s3", 1, 2, (7, 107), (3, 5), (2, 3), (1, 2)),
    Sliding("ceil_2x2", 2, 5, (5, 7), (2, 2), (2, 2), out=(3, 4)),
    Sliding("ceil_3x3_s2", 1, 17, (8, 34), (3, 3), (2, 2), out=(4, 17)),
    Sliding("ceil_padded", 1, 4, (8, 36), (3, 3), (2, 3), (1, 1), out=(5, 13)),
    Sliding("even_kernel", 1, 6, (7, 20), (2, 4), (1, 2), (1, 2)),
    Sliding("stride_above_kernel", 1, 6, (13, 50), (2, 1), (4, 3)),
    Sliding("dilation", 1, 9, (14, 40), (3, 2), (1, 1), (1, 1), (2, 3)),
    Sliding("dilation_ceil_s2", 1, 3, (13, 38), (3, 3), (2, 2), (1, 1), (3, 2), out=(5, 19)),
    Sliding("one_pixel_seen", 1, 17, (1, 5), (1, 3), (1, 1), (0, 1), (1, 3)),
    Sliding("kernel_above_image", 1, 5, (2, 3), (3, 4), (1, 1), (1, 2)),
    Sliding("global", 2, 33, (7, 7), (7, 7), (1, 1)),
    Sliding("window_of_256", 1, 3, (17, 40), (16, 16), (1, 2)),
    Sliding("window_of_272", 1, 3, (18, 40), (17, 16), (1, 2)),
    Sliding("channels_131", 2, 131, (5, 5), (3, 3), (2, 2), (1, 1)),
    # Planes of more than 4096 elements, whose gradient comes in bands of rows.
    Sliding("bands_3x3_s2", 1, 17, (71, 70), (3, 3), (2, 2), (1, 1)),
    Sliding("bands_3x3_s3", 1, 20, (66, 66), (3, 3), (3, 3)),
    Sliding("bands_dilation", 1, 16, (70, 71), (3, 2), (2, 1), (1, 1), (3, 2)),
    Sliding("bands_stride_above_kernel", 1, 16, (67, 66), (2, 1), (4, 3)),
    Sliding("bands_of_a_row", 1, 16, (5, 4200), (3, 3), (2, 2), (1, 1)),
    Sliding("batch", 5, 2, (5, 9), (3, 2), (2, 1), (1, 1)),
]

ADAPTIVE = [
    *(
        Adaptive(f"uneven_{c}@{width}", 2, c, (5, width), (3, 4))
        for c, width in zip(SIZES, SIZES[::-1], strict=True)
    ),
    *(Adaptive(f"global@{width}", 1, 3, (width, width + 1), (1, 1)) for width in (*SIZES, 90)),
    *(Adaptive(f"planes_{c}", 1, c, (6, 7), (2, 3)) for c in SIZES),
    Adaptive("rows", 1, 9, (37, 5), (37, 1)),
    Adaptive("columns", 1, 9, (5, 37), (1, 37)),
    Adaptive("larger_output", 2, 3, (4, 5), (9, 13)),
    Adaptive("identity", 1, 17, (6, 7), (6, 7)),
    Adaptive("channels_519", 1, 519, (3, 4), (2, 3)),
    Adaptive("packed_rows_too_large", 2, 3, (140, 130), (2, 3)),
]

#: What only an average has: windows of many elements, and divisors.
AVERAGED = [
    (Sliding("uneven", 1, 5, (7, 20), (3, 4), (2, 3), (1, 2)), {"counts_padding": False}),
    (Sliding("divided", 1, 17, (7, 9), (3, 2), (2, 2)), {"divisor": -5}),
    (Sliding("large_window", 1, 3, (90, 70), (80, 60), (2, 2)), {}),
    (Sliding("channels_519", 1, 519, (3, 4), (3, 2), (1, 2)), {}),
    *((planes, {}) for planes in SLIDING if planes.dilation == (1, 1)),
]


def records_of(planes: Sliding) -> tuple[str, ...]:
    """Offsets are bytes."""
    taps = planes.kernel[0] * planes.kernel[1]
    return ("nothing", "offsets", "indices") if taps <= 256 else ("nothing", "indices")


PROBLEMS: dict[str, list[Any]] = {
    "avg_pool2d": [
        AveragePool(planes, layout, **options) for planes, options in AVERAGED for layout in LAYOUTS
    ],
    "adaptive_avg_pool2d": [
        AveragePool(planes, layout) for planes in ADAPTIVE for layout in LAYOUTS
    ],
    "max_pool2d": [
        MaxPool(planes, layout, record)
        for planes in SLIDING
        for layout in LAYOUTS
        for record in records_of(planes)
    ],
    "adaptive_max_pool2d": [
        MaxPool(planes, layout, record)
        for planes in ADAPTIVE
        for layout in LAYOUTS
        for record in ("nothing", "indices")
    ],
}

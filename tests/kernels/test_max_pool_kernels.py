"""Every kernel of max_pool2d and adaptive_max_pool2d against its contract, to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, _kernels, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, generator
from test_average_pool_kernels import ADAPTIVE, Adaptive
from windows import LAYOUTS, Windows, axes, axis_fields, pack, unpack


class Pooled(NamedTuple):
    y: Array
    offsets: Array
    indices: Array


def last_nan_or(best: Array, values: Array) -> Array:
    """Which of the values [..., taps] is taken: the best, or the last NaN if there is one."""
    is_nan = np.isnan(values)
    last_nan = values.shape[-1] - 1 - is_nan[..., ::-1].argmax(-1)
    return np.where(is_nan.any(-1), last_nan, best)


def first_maximum(values: Array) -> Array:
    return np.where(np.isnan(values), -np.inf, values).argmax(-1)


@dataclass(frozen=True)
class Sliding:
    name: str
    n: int
    c: int
    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    out: tuple[int, int] | None = None  # where it is not the floor

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.n, self.c, *self.image)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.n, self.c, *(self.out or (axis.out for axis in axes(self))))

    @property
    def records(self) -> tuple[str, ...]:
        fits_a_byte = self.kernel[0] * self.kernel[1] <= 256
        return ("nothing", "offsets", "indices") if fits_a_byte else ("nothing", "indices")

    def shape(self, layout: str, record: str) -> Shape:
        sizes = {"n": self.n, "c": self.c, "h_out": self.y_shape[2], "w_out": self.y_shape[3]}
        return {"layout": layout, "record": record, **sizes, **axis_fields(self)}

    def options(self, record: str) -> tuple[bool, ...]:
        """What a forward kernel is told beside its input and its shape."""
        return ()

    def pooled(self, x: Array) -> Pooled:
        windows = Windows(self, self.y_shape[2:])
        taps = self.kernel[0] * self.kernel[1]
        values = windows.gather(x, outside=-np.inf).reshape(*self.y_shape, taps)
        inside = windows.inside.reshape(*self.y_shape[2:], taps)
        nothing_but_infinities = (np.where(np.isnan(values), np.inf, values) == -np.inf).all(-1)
        best = np.where(nothing_but_infinities, inside.argmax(-1), first_maximum(values))
        offsets = last_nan_or(best, values)
        positions = np.broadcast_to(windows.positions.reshape(inside.shape), values.shape)
        chosen = offsets[..., None]
        return Pooled(
            np.take_along_axis(values, chosen, -1)[..., 0],
            offsets.astype(np.uint8),
            np.take_along_axis(positions, chosen, -1)[..., 0].astype(np.int64),
        )


class AdaptiveMax(Adaptive):
    records = ("nothing", "indices")

    def shape(self, layout: str, record: str = "") -> Shape:
        return super().shape(layout)

    def options(self, record: str) -> tuple[bool, ...]:
        return (record != "nothing",)

    def pooled(self, x: Array) -> Pooled:
        y = np.empty(self.y_shape, x.dtype)
        indices = np.empty(self.y_shape, np.int64)
        (rows, _), (columns, _) = self.axis(0), self.axis(1)
        for i, j in np.ndindex(*self.out):
            at = np.ix_(rows[i].nonzero()[0], columns[j].nonzero()[0])
            window = x[:, :, at[0], at[1]].reshape(self.n, self.c, -1)
            best = last_nan_or(first_maximum(window), window)
            y[:, :, i, j] = np.take_along_axis(window, best[..., None], -1)[..., 0]
            indices[:, :, i, j] = (at[0] * self.image[1] + at[1]).ravel()[best]
        return Pooled(y, np.empty(0), indices)


Case = Sliding | AdaptiveMax

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

CASES: dict[str, list[Any]] = {
    "max_pool2d": SLIDING,
    "adaptive_max_pool2d": [
        *(AdaptiveMax(**vars(case)) for case in ADAPTIVE),
        *(AdaptiveMax(f"planes_{c}", 1, c, (6, 7), (2, 3)) for c in SIZES),
        AdaptiveMax("packed_rows_too_large", 2, 3, (140, 130), (2, 3)),
    ],
}


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
def draw(case: Case, kind: str, dtype: str) -> Array:
    rng = generator("max_pool", case, kind, dtype)
    if kind in SPECIAL_KINDS:
        return SPECIAL_KINDS[kind](rng, case.x_shape, dtype)
    return INPUT_KINDS[kind](rng, case.x_shape).astype(dtype)


@cache
def exact(case: Case, kind: str, dtype: str) -> Pooled:
    return case.pooled(draw(case, kind, dtype))


def variants(direction: str, *records: str) -> pytest.MarkDecorator:
    params = [
        parameter
        for operator, cases in CASES.items()
        for parameter in each_kernel(
            operator,
            direction,
            variants={
                f"{case.name}-{layout}-{record}": (
                    case.shape(layout, record),
                    [case, layout, record],
                )
                for case in cases
                for layout in LAYOUTS
                for record in records
                if record in case.records
            },
        )
    ]
    return pytest.mark.parametrize("kernel, case, layout, record", params)


@variants("forward", "nothing", "offsets", "indices")
def test_forward(kernel: Kernel, case: Case, layout: str, record: str) -> None:
    for i, kind in enumerate([*INPUT_KINDS, *SPECIAL_KINDS]):
        threads = THREADS[i % len(THREADS)]
        what = f"{kind}, {threads} threads"
        expected = exact(case, kind, kernel.dtype)
        x = pack(draw(case, kind, kernel.dtype), layout)
        y, positions = kernel.run(
            x, *case.options(record), threads=threads, **case.shape(layout, record)
        )
        assert_same_bits(unpack(y, case.y_shape, layout), expected.y, f"y, {what}")
        if record == "nothing":
            assert positions is None
        else:
            positions = unpack(positions, case.y_shape, layout)
            assert_same_bits(positions, getattr(expected, record), f"{record}, {what}")


@variants("bwd_input", "offsets", "indices")
def test_bwd_input(kernel: Kernel, case: Case, layout: str, record: str) -> None:
    """On whole numbers, whose sums are exact in any order."""
    dy = generator("max_pool dy", case).integers(-8, 8, case.y_shape).astype(kernel.dtype)
    for threads, kind in zip(THREADS, ("normal", "ties", "nans", "minus_infinities"), strict=True):
        pooled = exact(case, kind, kernel.dtype)
        planes = np.zeros((case.n * case.c, case.image[0] * case.image[1]), kernel.dtype)
        in_planes = (len(planes), -1)
        at = (np.arange(len(planes))[:, None], pooled.indices.reshape(in_planes))
        np.add.at(planes, at, dy.reshape(in_planes))
        positions = pack(getattr(pooled, record), layout)
        dx = kernel.run(pack(dy, layout), positions, threads=threads, **case.shape(layout, record))
        expected = planes.reshape(case.x_shape)
        assert_same_bits(unpack(dx, case.x_shape, layout), expected, f"{kind}, {threads} threads")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "case", [c for c in SLIDING if "offsets" in c.records], ids=lambda c: c.name
)
def test_offsets_stand_for_indices(case: Sliding, layout: str) -> None:
    pooled = exact(case, "ties", "float32")
    indices = _kernels.max_pool2d.expand_offsets(
        pack(pooled.offsets, layout), **case.shape(layout, "offsets")
    )
    assert_same_bits(unpack(indices, case.y_shape, layout), pooled.indices, "indices")

"""What convolutions and pools share: windows over images as index arrays, and layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from bindings import Array, Shape

LAYOUTS = ("nchw", "channels_last")

#: Sizes as (height, width).
Pair = tuple[int, int]


def pack(a: Array, layout: str) -> Array:
    """The array [n, c, h, w] as it lies in memory."""
    return np.ascontiguousarray(a if layout == "nchw" else a.transpose(0, 2, 3, 1))


def unpack(flat: Array, shape: tuple[int, ...], layout: str) -> Array:
    """The inverse of pack."""
    if layout == "nchw":
        return flat.reshape(shape)
    n, c, h, w = shape
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Axis:
    """The windows along one axis of an image."""

    size: int
    #: Where tap t of window i reads, as [i, t].
    positions: Array
    #: Whether that is inside of the image.
    inside: Array

    @classmethod
    def sliding(
        cls, size: int, kernel: int, stride: int, pad: int, dilation: int, out: int = 0
    ) -> Axis:
        out = out or (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        positions = np.arange(out)[:, None] * stride - pad + np.arange(kernel) * dilation
        return cls(size, positions, (positions >= 0) & (positions < size))

    @classmethod
    def adaptive(cls, size: int, out: int) -> Axis:
        """Windows of different sizes: where one is smaller than the largest, it reads nothing."""
        i = np.arange(out)
        begin, end = i * size // out, -(-(i + 1) * size // out)
        positions = begin[:, None] + np.arange((end - begin).max())
        return cls(size, positions, positions < end[:, None])


class Windows:
    """All windows over an image; arrays of windows are [..., h_out, w_out, k_h, k_w]."""

    def __init__(self, h: Axis, w: Axis) -> None:
        self.image = (h.size, w.size)
        #: Whether a tap is inside the image, and if so its position there, row by row.
        self.inside = h.inside[:, None, :, None] & w.inside[:, None, :]
        self.out, self.taps = self.inside.shape[:2], self.inside.shape[2:]
        rows, columns = h.positions[:, None, :, None], w.positions[:, None, :]
        self.positions = np.where(self.inside, rows * w.size + columns, 0)

    def gather(self, x: Array, outside: float) -> Array:
        """The values of x [..., h_in, w_in] in each window."""
        flat = x.reshape(*x.shape[:-2], -1)
        return np.where(self.inside, flat[..., self.positions], outside)

    def scatter(self, values: Array) -> Array:
        """The transpose of gather: the sum of each position's values over all windows."""
        height, width = self.image
        flat = np.zeros((*values.shape[:-4], height * width), values.dtype)
        np.add.at(flat, (..., self.positions[self.inside]), values[..., self.inside])
        return flat.reshape(*values.shape[:-4], height, width)


class Sliding(Protocol):
    """Sizes of windows that slide over an image, from which a pool may be told its output's."""

    image: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


def _sizes(case: Sliding) -> tuple[Pair, ...]:
    return case.image, case.kernel, case.stride, case.padding, case.dilation


def sliding_windows(case: Sliding, *out: Pair) -> Windows:
    return Windows(*(Axis.sliding(*sizes) for sizes in zip(*_sizes(case), *out, strict=True)))


def sliding_fields(case: Sliding) -> Shape:
    """The fields of the kernels' shape that belong to an axis."""
    names = ("{}_in", "k_{}", "stride_{}", "pad_{}", "dilation_{}")
    return {
        name.format(d): size
        for name, pair in zip(names, _sizes(case), strict=True)
        for d, size in zip("hw", pair, strict=True)
    }

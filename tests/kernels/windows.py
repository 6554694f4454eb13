"""What conv2d and max_pool2d share: sliding windows as index arrays, and layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from bindings import Array, Shape

LAYOUTS = ("nchw", "channels_last")


def pack(a: Array, layout: str) -> Array:
    """The array [n, c, h, w] as it lies in memory."""
    return np.ascontiguousarray(a if layout == "nchw" else a.transpose(0, 2, 3, 1))


def unpack(flat: Array, shape: tuple[int, ...], layout: str) -> Array:
    """The inverse of pack."""
    if layout == "nchw":
        return flat.reshape(shape)
    n, c, h, w = shape
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Axis:
    """A window of `kernel` taps sliding along one axis."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def out(self) -> int:
        reach = self.dilation * (self.kernel - 1)
        return (self.size + 2 * self.padding - reach - 1) // self.stride + 1

    def positions(self, out: int) -> Array:
        """Where tap t of window i reads, as [i, t]; outside of the image it may be any number."""
        windows, taps = np.arange(out)[:, None], np.arange(self.kernel)
        return windows * self.stride - self.padding + taps * self.dilation


class HasWindows(Protocol):
    """Sizes as (height, width)."""

    @property
    def image(self) -> tuple[int, int]: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> tuple[int, int]: ...
    @property
    def dilation(self) -> tuple[int, int]: ...


def axes(case: HasWindows) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis."""
    sizes = (case.image, case.kernel, case.stride, case.padding, case.dilation)
    return Axis(*(size[0] for size in sizes)), Axis(*(size[1] for size in sizes))


def axis_fields(case: HasWindows) -> Shape:
    """The fields of the kernels' shape that belong to an axis."""
    fields: Shape = {}
    for d, axis in zip("hw", axes(case), strict=True):
        fields |= {
            f"{d}_in": axis.size,
            f"k_{d}": axis.kernel,
            f"stride_{d}": axis.stride,
            f"pad_{d}": axis.padding,
            f"dilation_{d}": axis.dilation,
        }
    return fields


class Windows:
    """All windows over an image; arrays of windows are [..., h_out, w_out, k_h, k_w]."""

    def __init__(self, case: HasWindows, out: tuple[int, ...]) -> None:
        h, w = axes(case)
        rows = h.positions(out[0])[:, None, :, None]
        columns = w.positions(out[1])[None, :, None, :]
        self.image = case.image
        #: Whether a tap is inside the image, and if so its position there, row by row.
        self.inside = (rows >= 0) & (rows < h.size) & (columns >= 0) & (columns < w.size)
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

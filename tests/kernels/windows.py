"""The sliding windows of conv2d and max_pool2d, as index arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from door import Array


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


@dataclass(frozen=True)
class Windows:
    """All windows over an image; arrays of windows are [..., h_out, w_out, k_h, k_w]."""

    rows: Array
    columns: Array
    inside: Array
    height: int
    width: int

    @staticmethod
    def of(h: Axis, w: Axis, h_out: int, w_out: int) -> Windows:
        rows = h.positions(h_out)[:, None, :, None]
        columns = w.positions(w_out)[None, :, None, :]
        inside = (rows >= 0) & (rows < h.size) & (columns >= 0) & (columns < w.size)
        return Windows(rows, columns, inside, h.size, w.size)

    def gather(self, x: Array, outside: float) -> Array:
        """The values of x [..., h_in, w_in] in each window."""
        if self.height == 0 or self.width == 0:
            return np.full((*x.shape[:-2], *self.inside.shape), outside, x.dtype)
        rows, columns = self.rows.clip(0, self.height - 1), self.columns.clip(0, self.width - 1)
        return np.where(self.inside, x[..., rows, columns], outside)

    def scatter(self, values: Array) -> Array:
        """The transpose of gather: the sum of each position's values over all windows."""
        flat = np.zeros((*values.shape[:-4], self.height * self.width), values.dtype)
        at = (self.rows * self.width + self.columns)[self.inside]
        np.add.at(flat, (..., at), values[..., self.inside])
        return flat.reshape(*values.shape[:-4], self.height, self.width)

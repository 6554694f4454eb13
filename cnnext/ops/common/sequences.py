"""Sequences as images with a height of one, which the operators of images compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.pooling import Pair, as_non_negative_int

IntOrSingle = int | tuple[int] | list[int]


def from_images(result: Any, dim: int) -> Any:
    """The result of sequences, out of that of images; `dim` is 2 for one without a batch."""
    if isinstance(result, tuple):
        return tuple([from_images(each, dim) for each in result])
    return result.squeeze(2) if dim == 3 else result.squeeze(2).squeeze(0)


def from_images_no_view(result: Tensor, dim: int) -> Tensor:
    """Likewise, where native's result is no view: such may be detached in place, for example."""
    n, c, _, length = result.shape
    shape = (n, c, length) if dim == 3 else (c, length)
    return torch.ops.aten._unsafe_view.default(result, shape)


def as_row(value: Any, vertical: int) -> Pair | None:
    """An argument of a pool of sequences as that of a pool of images.

    None if it is not an integer, or a sequence of one, that kernels take.
    """
    if isinstance(value, tuple | list):
        if len(value) != 1:
            return None
        (value,) = value
    number = as_non_negative_int(value)
    return None if number is None else (vertical, number)


def as_row_window(
    kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[Pair, Pair, Pair, Pair] | None:
    """Likewise all that describe a window; without a stride, windows lie side by side."""
    no_stride = stride is None or (isinstance(stride, tuple | list) and len(stride) == 0)
    kernel = as_row(kernel_size, 1)
    step = kernel if no_stride else as_row(stride, 1)
    pad, spread = as_row(padding, 0), as_row(dilation, 1)
    if kernel is None or step is None or pad is None or spread is None:
        return None
    return kernel, step, pad, spread

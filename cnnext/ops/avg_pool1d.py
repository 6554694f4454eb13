"""avg_pool1d: `torch.nn.functional.avg_pool1d` and `torch.nn.AvgPool1d` on cnnext's kernels.

A sequence is an image with a height of one: avg_pool2d's operators compute it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d as native_avg_pool1d

from cnnext.ops import avg_pool2d
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.sequences import IntOrSingle, as_row_window, from_images
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrSingle,
    stride: IntOrSingle | None = None,
    padding: IntOrSingle = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Means of 1-D windows, as `torch.nn.functional.avg_pool1d`.

    Args:
        input: (N, C, L) or (C, L), float32 or float64 on the CPU (anything else that native takes
            is computed by native PyTorch, with one `NativeFallbackWarning`).
        kernel_size, padding: elements, an int or a sequence of one; padding is at most half of
            kernel_size and counts as zero.
        stride: elements; None means kernel_size.
        ceil_mode: round the output size up instead of down; what that adds beyond the padding is
            never counted.
        count_include_pad: whether the number of elements that a sum is divided by counts padding.

    Returns:
        (N, C, L_out) or (C, L_out).

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(AVG_POOL1D, (input,), kernel_size, stride, padding, ceil_mode, count_include_pad)


def _check(
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
) -> Checked:
    window = as_row_window(kernel_size, stride, padding)
    if input.dim() not in (2, 3) or window is None:
        return None
    modes = (ceil_mode, count_include_pad, None)
    return avg_pool2d.check(input.unsqueeze(-2), *window[:3], *modes)


_native = NativeLayer(torch.nn.AvgPool1d, scriptable=False)


@_native.drop_in
class AvgPool1d(torch.nn.AvgPool1d, metaclass=ABCMeta):
    """`torch.nn.AvgPool1d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, L) or (C, L); see `cnnext.functional.avg_pool1d`. TorchScript compiles
    native's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


AVG_POOL1D = declare(
    Operator(
        name="avg_pool1d",
        function=avg_pool1d,
        native=native_avg_pool1d,
        module=AvgPool1d,
        check=_check,
        compiled=avg_pool2d.AVG_POOL2D.compiled,
        recorded=avg_pool2d.AVG_POOL2D.recorded,
        direct=avg_pool2d.AVG_POOL2D.direct,
        from_images=from_images,
        cuda=CudaRule("native", "ATen moves as many bytes", has_kernels=False),
    )
)

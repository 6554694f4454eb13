"""conv1d: `torch.nn.functional.conv1d` and `torch.nn.Conv1d` on cnnext's kernels.

A sequence is an image with a height of one: conv2d's operators compute it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d as native_conv1d

from cnnext.ops import conv2d
from cnnext.ops.common.arguments import as_int, single_ints
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.sequences import IntOrSingle, from_images_no_view
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSingle = 1,
    padding: str | IntOrSingle = 0,
    dilation: IntOrSingle = 1,
    groups: int = 1,
) -> Tensor:
    """1-D convolution (cross-correlation), as `torch.nn.functional.conv1d`.

    Args:
        input: (N, C_in, L) or (C_in, L), float32 or float64 on the CPU (anything else that native
            takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        weight: (C_out, C_in / groups, K), of the same dtype.
        bias: (C_out,) or None.
        stride, dilation: elements, an int or a sequence of one.
        padding: elements, likewise, or 'valid', or 'same' (stride 1 only).
        groups: divides C_in and C_out.

    Returns:
        (N, C_out, L_out) or (C_out, L_out), with
        L_out = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1.

    Raises:
        RuntimeError: shapes, dtypes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(CONV1D, (input, weight, bias), stride, padding, dilation, groups)


def _check(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrSingle,
    padding: str | bytes | IntOrSingle,
    dilation: IntOrSingle,
    groups: int,
) -> Checked:
    """What `conv2d` takes of it."""
    if input.dim() not in (2, 3) or weight.dim() != 3 or 0 in input.shape or 0 in weight.shape:
        return None
    groups = as_int("conv1d", "groups", groups)
    options = {"stride": stride, "dilation": dilation}
    pads: Any = padding
    if isinstance(padding, str | bytes):
        step, spread = single_ints("conv1d", **options)
    else:
        step, spread, pad = single_ints("conv1d", **options, padding=padding)
        pads = (0, pad)
    # As native's, the results lie as those of a dense sequence, whatever the order in memory.
    images = input.contiguous().view(-1, input.shape[-2], 1, input.shape[-1])
    filters = weight.unsqueeze(2)
    return conv2d.check(images, filters, bias, (1, step), pads, (1, spread), groups)


_native = NativeLayer(torch.nn.Conv1d, "forward", "_conv_forward", scriptable=False)


@_native.drop_in
class Conv1d(torch.nn.Conv1d, metaclass=ABCMeta):
    """`torch.nn.Conv1d` on cnnext's kernels: same arguments, parameters, errors and results.

    Shapes: input (N, C_in, L) or (C_in, L); see `cnnext.functional.conv1d`. Calls without gradients
    keep the packed filter for the next, as those of `Conv2d` do. TorchScript compiles native's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _native.cls._conv_forward is not _native._conv_forward:
            return _native.call_replaced("_conv_forward", self, input, weight, bias)
        return conv2d.convolve(CONV1D, self, input, weight, bias)


CONV1D = declare(
    Operator(
        name="conv1d",
        function=conv1d,
        native=native_conv1d,
        module=Conv1d,
        optional=1,
        check=_check,
        compiled=conv2d.CONV2D.compiled,
        recorded=conv2d.CONV2D.recorded,
        direct=conv2d.CONV2D.direct,
        from_images=from_images_no_view,
        cuda=CudaRule("native", "cuDNN multiplies on tensor cores", has_kernels=False),
    )
)

"""max_pool1d: `torch.nn.functional.max_pool1d` and `torch.nn.MaxPool1d` on cnnext's kernels.

A sequence is an image with a height of one: max_pool2d's operators compute it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d as native_max_pool1d

from cnnext.ops import max_pool2d
from cnnext.ops.common.arguments import shape_of
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import Pair, Windows, may_need_gradient
from cnnext.ops.common.sequences import (
    IntOrSingle,
    as_row_window,
    from_images,
    from_images_no_view,
)
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrSingle,
    stride: IntOrSingle | None = None,
    padding: IntOrSingle = 0,
    dilation: IntOrSingle = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima of 1-D windows, as `torch.nn.functional.max_pool1d`.

    NaN wins over every number; of equal maxima the first is the one indexed.

    Args:
        input: (N, C, L) or (C, L), float32 or float64 on the CPU (anything else that native takes
            is computed by native PyTorch, with one `NativeFallbackWarning`).
        kernel_size, padding, dilation: elements, an int or a sequence of one; padding is at most
            half of kernel_size and counts as minus infinity.
        stride: elements; None means kernel_size.
        ceil_mode: round the output size up instead of down.
        return_indices: also return the int64 position of each maximum in its sequence.

    Returns:
        (N, C, L_out) or (C, L_out); with `return_indices` a tuple of that and the indices.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(
        MAX_POOL1D, (input,), kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def _check(
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
) -> Checked:
    window = as_row_window(kernel_size, stride, padding, dilation)
    if input.dim() not in (2, 3):
        return None
    if window is None:
        _refuse_endless(input, kernel_size)
        return None
    (_, pad), (_, spread), length = *window[2:], input.shape[-1]
    if pad > 0 and spread > length > 0:
        reason = (
            f"dilation={spread} exceeds the input's {length} elements, "
            "so that a padded window may hold none of them"
        )
        return max_pool2d.without_gradient("max_pool1d", input, reason, pad)
    return max_pool2d.check(input.unsqueeze(-2), *window, ceil_mode, return_indices)


def _refuse_endless(input: Tensor, kernel_size: Any) -> None:
    """Raises for windows on which native does not come to an end, where it records nothing."""
    is_sequence = isinstance(kernel_size, tuple | list) and len(kernel_size) == 1
    number = kernel_size[0] if is_sequence else kernel_size
    if type(number) is int and 2**31 <= number < 2**63 and not may_need_gradient(input):
        raise RuntimeError(
            f"max_pool1d(): Invalid computed output size of windows with {kernel_size=}; "
            f"got input.shape={shape_of(input)}"
        )


def _direct(input: Tensor, size: Pair, geometry: Windows, return_indices: bool) -> Any:
    """Native has another kernel where nothing is recorded, whose result is dense in any case."""
    images = input if return_indices else input.contiguous()
    compute: Any = max_pool2d.MAX_POOL2D.direct
    return compute(images, size, geometry, return_indices)


def _from_images(result: Any, dim: int) -> Any:
    """As native's, which is a view unless it is that of its other kernel."""
    is_view = isinstance(result, tuple) or result.requires_grad
    return from_images(result, dim) if is_view else from_images_no_view(result, dim)


_native = NativeLayer(torch.nn.MaxPool1d, scriptable=False)


@_native.drop_in
class MaxPool1d(torch.nn.MaxPool1d, metaclass=ABCMeta):
    """`torch.nn.MaxPool1d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, L) or (C, L); see `cnnext.functional.max_pool1d`. TorchScript compiles
    native's.
    """

    # TorchScript wants the exact type of the result, or none, and it depends on return_indices.
    @no_type_check
    def forward(self, input: Tensor):
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


MAX_POOL1D = declare(
    Operator(
        name="max_pool1d",
        function=max_pool1d,
        native=native_max_pool1d,
        module=MaxPool1d,
        check=_check,
        compiled=max_pool2d.MAX_POOL2D.compiled,
        recorded=max_pool2d.MAX_POOL2D.recorded,
        direct=_direct,
        from_images=_from_images,
        cuda=CudaRule("native", "ATen moves as many bytes", has_kernels=False),
    )
)

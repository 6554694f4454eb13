"""avg_pool2d: `torch.nn.functional.avg_pool2d` and `torch.nn.AvgPool2d` on cnnext's kernels."""

from __future__ import annotations

import operator
from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d as native_avg_pool2d

from cnnext.ops.common.arguments import IntOrPair, shape_of
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    as_batch,
    pooled_size,
    register_average,
    window_geometry,
    without_batch,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare

# ----------------------------------------------------------------------------------- autograd

_Recorded: Any = register_average("avg_pool2d")


class AvgPool2dFunction(_Recorded):
    """avg_pool2d of a batched input, differentiable any number of times.

    Arguments as `cnnext.functional.avg_pool2d`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        arguments = check(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
        if arguments is None:
            raise ValueError(
                f"AvgPool2dFunction: there are no kernels for input.shape={shape_of(input)}, "
                f"{kernel_size=}, {stride=}, {padding=}, {ceil_mode=}, {count_include_pad=}, "
                f"{divisor_override=}"
            )
        return _Recorded.forward(ctx, *arguments)


# ----------------------------------------------------------------------------------- function


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Means of 2-D windows, as `torch.nn.functional.avg_pool2d`.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        kernel_size, padding: pixels, an int or (vertical, horizontal); padding is at most half of
            kernel_size and counts as zero.
        stride: pixels; None means kernel_size.
        ceil_mode: round the output size up instead of down; what that adds beyond the padding is
            never counted.
        count_include_pad: whether the number of elements that a sum is divided by counts padding.
        divisor_override: divide by this instead; not 0.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(
        AVG_POOL2D, (input,), kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip


def check(
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> tuple[Any, ...] | None:
    geometry = window_geometry(kernel_size, stride, padding)
    divisor = 0 if divisor_override is None else _divisor(divisor_override)
    if geometry is None or divisor is None or not isinstance(count_include_pad, bool):
        return None
    shape = input.shape
    if len(shape) not in (3, 4) or 0 in shape:
        return None
    size = pooled_size(shape[-2], shape[-1], geometry, ceil_mode)
    if size is None:
        return None
    return (
        as_batch(input),
        *size,
        *geometry[:6],
        count_include_pad,
        divisor,
    )


def _divisor(divisor_override: Any) -> int | None:
    """The divisor, or None for native to judge: zero, no integer, or a bool, also in a tensor."""
    tensor = isinstance(divisor_override, Tensor)
    if tensor and (divisor_override.dim() > 0 or divisor_override.dtype == torch.bool):
        return None
    try:
        divisor = operator.index(divisor_override)
    except TypeError:
        return None
    if isinstance(divisor_override, bool) or not 0 < abs(divisor) < 2**63:
        return None
    return divisor


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.AvgPool2d)


@_native.drop_in
class AvgPool2d(torch.nn.AvgPool2d, metaclass=ABCMeta):
    """`torch.nn.AvgPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.avg_pool2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_avg_pool2d(
                input,
                self.kernel_size,
                self.stride,
                self.padding,
                self.ceil_mode,
                self.count_include_pad,
                self.divisor_override,
            )
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


AVG_POOL2D = declare(
    Operator(
        name="avg_pool2d",
        function=avg_pool2d,
        native=native_avg_pool2d,
        module=AvgPool2d,
        autograd=AvgPool2dFunction,
        raw=("avg_pool2d", "avg_pool2d_backward", "avg_pool2d_forward"),
        kernels="avg_pool2d",
        check=check,
        compiled=ops.avg_pool2d.default,
        recorded=_Recorded.apply,
        direct=direct.avg_pool2d_forward,
        unbatched=without_batch,
        cuda=CudaRule("native", "ATen moves as many bytes"),
    )
)

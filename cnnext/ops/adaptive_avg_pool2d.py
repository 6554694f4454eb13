"""adaptive_avg_pool2d: the function and `torch.nn.AdaptiveAvgPool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d as native_adaptive_avg_pool2d

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    IntOrSize,
    adaptive_size,
    as_batch,
    register_average,
    without_batch,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare

# ----------------------------------------------------------------------------------- autograd

_Recorded: Any = register_average("adaptive_avg_pool2d")


class AdaptiveAvgPool2dFunction(_Recorded):
    """adaptive_avg_pool2d of a batched input to an output of (height, width) `size`.

    Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: tuple[int, int]) -> Tensor:
        return _Recorded.forward(ctx, input, *size)


# ----------------------------------------------------------------------------------- function


def adaptive_avg_pool2d(input: Tensor, output_size: IntOrSize) -> Tensor:
    """Means of a given number of 2-D windows, as `torch.nn.functional.adaptive_avg_pool2d`.

    Window i of n along an axis of m pixels is those from floor(i m / n) up to ceil((i + 1) m / n).

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64, on CUDA also float16 or bfloat16
            (anything else that native takes is computed by native PyTorch, with one
            `NativeFallbackWarning`).
        output_size: an int or (H_out, W_out); None in a place keeps the size of the input.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(ADAPTIVE_AVG_POOL2D, (input,), output_size)


def check(input: Tensor, output_size: IntOrSize) -> Checked:
    size = adaptive_size(input, output_size)
    return None if size is None else (as_batch(input), *size)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.AdaptiveAvgPool2d)


@_native.drop_in
class AdaptiveAvgPool2d(torch.nn.AdaptiveAvgPool2d, metaclass=ABCMeta):
    """`torch.nn.AdaptiveAvgPool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, H, W) or (C, H, W); see `cnnext.functional.adaptive_avg_pool2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_adaptive_avg_pool2d(input, self.output_size)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return adaptive_avg_pool2d(input, self.output_size)


ADAPTIVE_AVG_POOL2D = declare(
    Operator(
        name="adaptive_avg_pool2d",
        function=adaptive_avg_pool2d,
        native=native_adaptive_avg_pool2d,
        module=AdaptiveAvgPool2d,
        autograd=AdaptiveAvgPool2dFunction,
        raw=("adaptive_avg_pool2d", "adaptive_avg_pool2d_backward", "adaptive_avg_pool2d_forward"),
        kernels="adaptive_avg_pool2d",
        check=check,
        compiled=ops.adaptive_avg_pool2d.default,
        recorded=_Recorded.apply,
        direct=direct.adaptive_avg_pool2d_forward,
        unbatched=without_batch,
        cuda=CudaRule("native", "ATen adds up a large window with many threads"),
    )
)

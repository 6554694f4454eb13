"""leaky_relu: `torch.nn.functional.leaky_relu` and `torch.nn.LeakyReLU` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu as native_leaky_relu
from torch.nn.functional import leaky_relu_ as native_leaky_relu_

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.elementwise import declare_elementwise, register_elementwise
from cnnext.runtime.fallback import gradient_needed, is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import Checked, CudaRule, Operator

# ----------------------------------------------------------------------------------- autograd


def _differentiable_backward(grad_output: Tensor, input: Tensor, negative_slope: float) -> Tensor:
    return torch.ops.aten.leaky_relu_backward.default(grad_output, input, negative_slope, False)


# In place, the gradient is of the output, which is positive where the input was.
_Recorded: Any = register_elementwise("leaky_relu", _differentiable_backward, saved="input")


class LeakyReLUFunction(_Recorded):
    """leaky_relu of a tensor (a dense one if `inplace`). Twice differentiable."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, negative_slope: float = 0.01, inplace: bool = False
    ) -> Tensor:
        return _Recorded.forward(ctx, input, negative_slope, inplace)


# ----------------------------------------------------------------------------------- function

_LARGEST_SLOPES = {float: torch.finfo(torch.float32).max, int: torch.iinfo(torch.int64).max}


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x, as `torch.nn.functional.leaky_relu`.

    On the CPU, a tensor smaller than 256 KB that needs gradients goes to native PyTorch without a
    warning: the result is the same to the last bit, and native is faster by the time that Python
    takes for an autograd Function. (Maas et al. 2013, Rectifier Nonlinearities Improve Neural
    Network Acoustic Models.)

    Args:
        input: any shape, float32 or float64, on CUDA also float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        negative_slope: a number.
        inplace: overwrite and return `input`; with a negative slope, that has no gradient.

    Raises:
        RuntimeError: a dtype that native rejects, or an in-place call that autograd forbids.
        TypeError: `input` is not a tensor, or `negative_slope` is not a number.
    """
    return launch(LEAKY_RELU_IN_PLACE if inplace else LEAKY_RELU, (input,), negative_slope, inplace)


def _check(input: Tensor, negative_slope: float, inplace: bool) -> Checked:
    """Native knows what else is a number, and which overflow; its error is the missing gradient."""
    largest = _LARGEST_SLOPES.get(type(negative_slope))
    if largest is None or abs(negative_slope) > largest:
        return None
    if inplace and negative_slope < 0 and gradient_needed(input):
        return None
    return input, negative_slope


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.LeakyReLU)


@_native.drop_in
class LeakyReLU(torch.nn.LeakyReLU, metaclass=ABCMeta):
    """`torch.nn.LeakyReLU` on cnnext's kernels: same arguments, errors and results; any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_leaky_relu(input, self.negative_slope, self.inplace)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return leaky_relu(input, self.negative_slope, self.inplace)


LEAKY_RELU, LEAKY_RELU_IN_PLACE = declare_elementwise(
    Operator(
        name="leaky_relu",
        function=leaky_relu,
        native=native_leaky_relu,
        module=LeakyReLU,
        autograd=LeakyReLUFunction,
        check=_check,
        cuda=CudaRule("native", "ATen moves as many bytes"),
    ),
    native_leaky_relu_,
)

"""relu: `torch.nn.functional.relu` and `torch.nn.ReLU` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch import relu_ as native_relu_
from torch.nn.functional import relu as native_relu

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.elementwise import declare_elementwise, register_elementwise
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import CudaRule, Operator

# ----------------------------------------------------------------------------------- autograd


def _differentiable_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward.default(grad_output, output, 0)


_Recorded: Any = register_elementwise("relu", _differentiable_backward, saved="output")


class ReLUFunction(_Recorded):
    """relu of a tensor (a dense one if `inplace`). Twice differentiable."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, inplace: bool = False) -> Tensor:
        return _Recorded.forward(ctx, input, inplace)


# ----------------------------------------------------------------------------------- function


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x) element by element, as `torch.nn.functional.relu`; NaN and -0 pass through.

    On the CPU, a tensor smaller than 256 KB that needs gradients goes to native PyTorch without a
    warning: the result is the same to the last bit, and native is faster by the time that Python
    takes for an autograd Function.

    Args:
        input: any shape, float32 or float64, on CUDA also float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        inplace: overwrite and return `input`.

    Raises:
        RuntimeError: a dtype that native rejects, or an in-place call that autograd forbids.
        TypeError: `input` is not a tensor.
    """
    return launch(RELU_IN_PLACE if inplace else RELU, (input,), inplace)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.ReLU)


@_native.drop_in
class ReLU(torch.nn.ReLU, metaclass=ABCMeta):
    """`torch.nn.ReLU` on cnnext's kernels: same arguments, errors and results; any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_relu(input, self.inplace)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return relu(input, self.inplace)


RELU, RELU_IN_PLACE = declare_elementwise(
    Operator(
        name="relu",
        function=relu,
        native=native_relu,
        module=ReLU,
        autograd=ReLUFunction,
        cuda=CudaRule("native", "ATen moves as many bytes"),
    ),
    native_relu_,
)

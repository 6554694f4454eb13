"""sigmoid: `torch.nn.functional.sigmoid` and `torch.nn.Sigmoid` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, Final

import torch
from torch import Tensor
from torch import sigmoid as native_sigmoid

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.elementwise import (
    check_vectors_win,
    declare_out_of_place,
    register_elementwise,
)
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import CudaRule, Operator

# Measured with one thread: from here on the two take the same time.
_MIN_BYTES_FOR_FUNCTION: Final = 2 << 20

# ----------------------------------------------------------------------------------- autograd


def _differentiable_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    return torch.ops.aten.sigmoid_backward.default(grad_output, output)


_Recorded: Any = register_elementwise(
    "sigmoid", _differentiable_backward, saved="output", in_place=False
)


class SigmoidFunction(_Recorded):
    """sigmoid of a tensor. Twice differentiable."""

    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        return _Recorded.forward(ctx, input)


# ----------------------------------------------------------------------------------- function


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x) element by element, as `torch.nn.functional.sigmoid`.

    On the CPU, two kinds of tensors go to native PyTorch without a warning, since it is faster:
    those smaller than 2 MB that need gradients, by the time that Python takes for an autograd
    Function; and float64, for which there are no vectors of ours.

    Args:
        input: any shape, float32, on CUDA also float64, float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).

    Raises:
        RuntimeError: a dtype that native rejects.
        TypeError: `input` is not a tensor.
    """
    return launch(SIGMOID, (input,))


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.Sigmoid)


@_native.drop_in
class Sigmoid(torch.nn.Sigmoid, metaclass=ABCMeta):
    """`torch.nn.Sigmoid` on cnnext's kernels: same arguments, errors and results; any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_sigmoid(input)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return sigmoid(input)


SIGMOID = declare_out_of_place(
    Operator(
        name="sigmoid",
        function=sigmoid,
        native=native_sigmoid,
        module=Sigmoid,
        autograd=SigmoidFunction,
        check=check_vectors_win,
        cuda=CudaRule("native", "ATen moves as many bytes"),
    ),
    _MIN_BYTES_FOR_FUNCTION,
)

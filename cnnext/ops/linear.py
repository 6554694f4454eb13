"""linear: `torch.nn.functional.linear` and `torch.nn.Linear` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear as native_linear

from cnnext.ops.common.arguments import check_matmul_dtypes
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("linear", "linear_forward")
def _fake_forward(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return input.new_empty((*input.shape[:-1], weight.shape[0]))


@register_fake("linear_backward_input")
def _fake_backward_input(grad_output: Tensor, weight: Tensor) -> Tensor:
    return grad_output.new_empty((*grad_output.shape[:-1], weight.shape[1]))


@register_fake("linear_backward_weight")
def _fake_backward_weight(grad_output: Tensor, input: Tensor) -> Tensor:
    return grad_output.new_empty((grad_output.shape[-1], input.shape[-1]))


# ----------------------------------------------------------------------------------- autograd


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of input, weight and bias that ctx.needs_input_grad asks for."""
    input, weight = ctx.saved_tensors
    need_input, need_weight, *need_bias = ctx.needs_input_grad
    grad_input = grad_weight = grad_bias = None
    rows = grad_output.reshape(-1, grad_output.shape[-1])
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        if need_input:
            grad_input = grad_output @ weight
        if need_weight:
            grad_weight = rows.t() @ input.reshape(-1, input.shape[-1])
    else:
        if need_input:
            grad_input = ops.linear_backward_input.default(grad_output, weight)
        if need_weight:
            grad_weight = ops.linear_backward_weight.default(grad_output, input)
    if any(need_bias):
        grad_bias = rows.sum(0)
    return grad_input, grad_weight, grad_bias


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keeps what the gradients need, and no more: the rest may be written to before backward."""
    input, weight, _ = inputs
    need_input, need_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(input if need_weight else None, weight if need_input else None)


_Recorded: Any = register_autograd("linear", _backward, _save)


class LinearFunction(_Recorded):
    """linear of an input; arguments as `cnnext.functional.linear`.

    Twice differentiable.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return _Recorded.forward(ctx, input, weight, bias)


# ----------------------------------------------------------------------------------- function


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x w^T + b, as `torch.nn.functional.linear`.

    Args:
        input: (*, K), float32 or float64, on CUDA also float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        weight: (M, K), of the same dtype.
        bias: (M,) or None.

    Returns:
        (*, M).

    Raises:
        RuntimeError: shapes or dtypes do not fit, as in torch.nn.functional.
        TypeError: an argument is not a tensor.
    """
    return launch(LINEAR, (input, weight, bias))


def _check(input: Tensor, weight: Tensor, bias: Tensor | None) -> Checked:
    if weight.dim() != 2:
        return f"weight has {weight.dim()} dimensions, not 2"
    if bias is not None:
        if bias.dim() != 1:
            return f"bias has {bias.dim()} dimensions, not 1"
        if bias.shape[0] == 1 != weight.shape[0]:
            return f"bias has 1 element, weight {weight.shape[0]} rows"
    if 0 in input.shape or 0 in weight.shape or input.dim() == 0:
        return None
    check_matmul_dtypes("linear", input, weight=weight, bias=bias)
    if input.shape[-1] != weight.shape[1]:
        return None
    if bias is not None and bias.shape[0] != weight.shape[0]:
        return None
    return input, weight, bias


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.Linear)


@_native.drop_in
class Linear(torch.nn.Linear, metaclass=ABCMeta):
    """`torch.nn.Linear` on cnnext's kernels: same arguments, parameters, errors and results.

    Shapes: input (*, in_features), output (*, out_features).
    """

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_linear(input, self.weight, self.bias)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return linear(input, self.weight, self.bias)


LINEAR = declare(
    Operator(
        name="linear",
        function=linear,
        native=native_linear,
        module=Linear,
        autograd=LinearFunction,
        raw=("linear", "linear_backward_input", "linear_backward_weight", "linear_forward"),
        kernels="linear",
        optional=1,
        check=_check,
        compiled=ops.linear.default,
        recorded=LinearFunction.apply,
        direct=direct.linear_forward,
        cuda=CudaRule("native", "cuBLAS is what we would call ourselves", has_kernels=False),
    )
)

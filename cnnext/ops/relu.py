"""relu: `torch.nn.functional.relu` and `torch.nn.ReLU` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch import relu_ as native_relu_
from torch.nn.functional import relu as native_relu

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime.fallback import call_native, fallback_reason, gradient_needed, is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("relu", "relu_forward")
def _fake_forward(input: Tensor) -> Tensor:
    return torch.empty_like(input)  # keeps the order of the dimensions in memory


@register_fake("relu_backward")
def _fake_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    return torch.empty_like(output)


@register_fake("relu_")
def _fake_in_place(self: Tensor) -> None:
    return None


# ----------------------------------------------------------------------------------- autograd


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
    (output,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        return (torch.ops.aten.threshold_backward.default(grad_output, output, 0),)
    return (ops.relu_backward.default(grad_output, output),)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(output)


_Recorded: Any = register_autograd("relu", _backward, _save)


class ReLUFunction(_Recorded):
    """relu of a tensor (a dense one if `inplace`). Twice differentiable."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, inplace: bool = False) -> Tensor:
        if not inplace:
            return _Recorded.forward(ctx, input)
        ctx.mark_dirty(input)
        ops.relu_.default(input)
        ctx.save_for_backward(input)
        return input


# ----------------------------------------------------------------------------------- function


# A smaller tensor trains faster with native's relu, whose autograd is in C++: from here on the two
# take the same time.
_MIN_BYTES_FOR_FUNCTION = 256 << 10


def _trains_faster_natively(input: Tensor) -> bool:
    if type(input) is not Tensor or not input.is_cpu or input.nbytes >= _MIN_BYTES_FOR_FUNCTION:
        return False
    # Unlike our operators, ATen's goes beyond the end of a storage that was freed or shrunk.
    end = input.storage_offset() * input.itemsize + input.nbytes
    return _is_flat(input) and end <= input.untyped_storage().nbytes()


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x) element by element, as `torch.nn.functional.relu`; NaN and -0 pass through.

    On the CPU, a tensor of less than 256 KB that needs gradients goes to native's, quietly: to the
    last bit the same, and faster by the time that Python takes for an autograd Function.

    Args:
        input: any shape, float32 or float64, on CUDA also float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        inplace: overwrite and return `input`.

    Raises:
        RuntimeError: a dtype that native rejects, or an in-place call that autograd forbids.
        TypeError: `input` is not a tensor.
    """
    if inplace:
        reason = fallback_reason(RELU, (input,))
        return _relu_in_place(input) if reason is None else call_native(RELU, reason, input, True)
    return launch(RELU, (input,), False)


def _train(input: Tensor) -> Tensor:
    return native_relu(input) if _trains_faster_natively(input) else ReLUFunction.apply(input)


def _is_flat(tensor: Tensor) -> bool:
    """Whether the tensor is one dense array in either layout, of the values that it has."""
    if tensor.is_neg():  # the memory holds their negatives
        return False
    return tensor.is_contiguous() or (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _relu_in_place(input: Tensor) -> Tensor:
    # Strided and negated tensors are ATen's business, and so are those that autograd may forbid to
    # write to: a Function would find that out after the kernel has overwritten them.
    if torch.compiler.is_compiling() or not _is_flat(input):
        return native_relu_(input)
    if input.is_inference() and not torch.is_inference_mode_enabled():
        return native_relu_(input)
    if gradient_needed(input):
        if input.is_leaf or input._is_view() or _trains_faster_natively(input):
            return native_relu_(input)
        return ReLUFunction.apply(input, True)
    ops.relu_.default(input)
    torch.autograd.graph.increment_version(input)
    return input


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


RELU = declare(
    Operator(
        name="relu",
        function=relu,
        native=native_relu,
        module=ReLU,
        autograd=ReLUFunction,
        raw=("relu", "relu_", "relu_backward", "relu_forward"),
        kernels="relu",
        compiled=ops.relu.default,
        recorded=_train,
        direct=direct.relu_forward,
        cuda=CudaRule("native", "ATen moves as many bytes"),
    )
)

"""dropout: the function and `torch.nn.Dropout` on cnnext's kernels, which draw as native does."""

from __future__ import annotations

from abc import ABCMeta
from functools import cache
from typing import Any, Final

import torch
from torch import Generator, Tensor
from torch.nn import Parameter
from torch.nn.functional import dropout as native_dropout

from cnnext.ops.common.arguments import is_allocated
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime.fallback import FASTER_NATIVELY, is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_fake

# Measured with one thread and one element in ten dropped, where native is fastest: below, the two
# take the same time, without gradients and with them.
_MIN_ELEMENTS: Final = 512
_MIN_ELEMENTS_FOR_FUNCTION: Final = 4096

_modes_of_dispatch = torch._C._len_torch_dispatch_stack

# ------------------------------------------------------------------------------- fake kernels


@register_fake("dropout_forward")
def _fake_forward(input: Tensor, p: float) -> tuple[Tensor, Tensor]:
    output = torch.empty_like(input)
    return output, torch.empty_like(output, dtype=torch.uint8)


@register_fake("dropout_backward")
def _fake_backward(grad_output: Tensor, mask: Tensor, p: float) -> Tensor:
    return torch.empty_like(mask, dtype=grad_output.dtype)


# ----------------------------------------------------------------------------- random numbers


@cache
def draws_as_bernoulli() -> bool:
    """Whether `bernoulli_` keeps where the low 53 bits of what the kernels draw are small enough.

    They draw by `random_`, all 64 bits. Some builds of torch have other random numbers for
    `bernoulli_` on some processors.
    """
    for count, before, keep in ((1, 0, 0.5), (17, 1, 0.1), (700, 311, 0.9)):
        ours, natives = (Generator("cpu").manual_seed(count) for _ in range(2))
        for generator in (ours, natives):  # an odd number of halves may be left
            torch.rand(before, dtype=torch.float32, device="cpu", generator=generator)
        for dtype in (torch.float32, torch.float64):
            numbers = torch.empty(count, dtype=torch.int64, device="cpu")
            numbers.random_(-(2**63), None, generator=ours)
            kept = (numbers & (2**53 - 1)).double() / 2**53 < keep
            drawn = torch.empty(count, dtype=dtype, device="cpu")
            drawn.bernoulli_(keep, generator=natives)
            if not torch.equal(kept.to(dtype), drawn):
                return False
        if not torch.equal(ours.get_state(), natives.get_state()):
            return False
    return True


# ----------------------------------------------------------------------------------- autograd


class DropoutFunction(torch.autograd.Function):
    """dropout of a tensor while training, 0 <= p < 1. Differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, p: float = 0.5) -> Tensor:
        output, mask = ops.dropout_forward.default(input, p)
        ctx.p = p
        ctx.save_for_backward(mask)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is one
            return grad_output * mask.to(grad_output.dtype).div_(1 - ctx.p), None
        return ops.dropout_backward.default(grad_output, mask, ctx.p), None


def _recorded(input: Tensor, p: float) -> Any:
    if input.numel() < _MIN_ELEMENTS_FOR_FUNCTION and is_allocated(input):
        return native_dropout(input, p)
    return DropoutFunction.apply(input, p)


def _direct(input: Tensor, p: float) -> Any:
    return direct.dropout_forward(input, p)[0]


# ----------------------------------------------------------------------------------- function


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros at random places, as `torch.nn.functional.dropout`.

    After the same seed it is native's result to the last bit, and the generator is left as native
    leaves it. Native computes what is in place, in graphs or small, and all on processors where
    its random numbers are others than ours. For the backward pass a byte an element is kept.

    Args:
        input: any shape, float32 or float64 on the CPU (anything else that native takes is computed
            by native PyTorch, with one `NativeFallbackWarning`).
        p: the probability of a zero; the rest is divided by 1 - p.
        training: whether to do anything.
        inplace: whether to overwrite the input.

    Raises:
        ValueError: p is less than 0 or greater than 1.
        RuntimeError: a dtype that native rejects.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    if training is False:  # nothing to say of tensors that there are no kernels for
        return native_dropout(input, p, training, inplace)
    return launch(DROPOUT, (input,), p, training, inplace)


def _check(input: Tensor, p: Any, training: Any, inplace: Any) -> Checked:
    if type(p) is not float or training is not True or type(inplace) is not bool:
        return None
    if not 0 < p < 1:
        return None
    # Graphs hold ATen's operator, and modes that see every call expect it.
    if inplace or torch.compiler.is_compiling() or type(input) not in (Tensor, Parameter):
        return FASTER_NATIVELY
    if input.numel() < _MIN_ELEMENTS or _modes_of_dispatch() or not draws_as_bernoulli():
        return FASTER_NATIVELY if is_allocated(input) else (input, p)
    return input, p


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.Dropout)


@_native.drop_in
class Dropout(torch.nn.Dropout, metaclass=ABCMeta):
    """`torch.nn.Dropout` on cnnext's kernels: same arguments, errors and results; any shape."""

    def forward(self, input: Tensor) -> Tensor:
        if is_scripting():
            return native_dropout(input, self.p, self.training, self.inplace)
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return dropout(input, self.p, self.training, self.inplace)


DROPOUT = declare(
    Operator(
        name="dropout",
        function=dropout,
        native=native_dropout,
        module=Dropout,
        autograd=DropoutFunction,
        raw=("dropout_backward", "dropout_forward"),
        kernels="dropout",
        check=_check,
        compiled=native_dropout,
        recorded=_recorded,
        direct=_direct,
        cuda=CudaRule("native", "its random numbers are native's", has_kernels=False),
    )
)

"""What element-wise operators share: fake kernels, gradients, and the rules of a call in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal

import torch
from torch import Tensor

from cnnext.runtime.fallback import FASTER_NATIVELY
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, Operator, declare
from cnnext.runtime.registration import Save, register_autograd, register_fake

# A smaller tensor trains faster with native's operator, whose autograd is in C++: from here on the
# two take the same time, where only memory is moved.
_MIN_BYTES_FOR_FUNCTION: Final = 256 << 10


def register_elementwise(
    op: str,
    differentiable_backward: Callable[..., Tensor],
    *,
    saved: Literal["input", "output"],
    in_place: bool = True,
) -> Any:
    """Registers the fake kernels, and the gradient, which is a function of the input or the output.

    The raw operators take the parameters of the formula last: `<op>`, `<op>_forward` and `<op>_`
    after the input, `<op>_backward` after the gradient and what was saved.

    Args:
        op: its name.
        differentiable_backward: what `<op>_backward` computes, by ATen.
        saved: what the gradient is computed from, which native saves as well. A call in place can
            save the output alone; for it the formula has to hold of either.
        in_place: whether there is `<op>_`.

    Returns:
        The Function; its `forward` takes the input, the parameters, and whether to write in place,
        if it can.
    """

    @register_fake(op, f"{op}_forward")
    def fake_forward(input: Tensor, *parameters: float) -> Tensor:
        return torch.empty_like(input)  # keeps the order of the dimensions in memory

    @register_fake(f"{op}_backward")
    def fake_backward(grad_output: Tensor, saved: Tensor, *parameters: float) -> Tensor:
        return torch.empty_like(saved)

    differentiate = getattr(ops, f"{op}_backward").default

    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
        # A graph of the backward pass may be wanted: ATen's is differentiable.
        gradient = differentiable_backward if torch.is_grad_enabled() else differentiate
        return (gradient(grad_output, *ctx.saved_tensors, *ctx.parameters),)

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.parameters = inputs[1:]
        ctx.save_for_backward(inputs[0] if saved == "input" else output)

    return register_autograd(op, backward, save, _forward_of_both(op, save) if in_place else None)


def _forward_of_both(op: str, save: Save) -> Callable[..., Tensor]:
    """The `forward` of a Function, which writes in place or does not."""

    @register_fake(f"{op}_")
    def fake_in_place(self: Tensor, *parameters: float) -> None:
        return None

    compute, write = (getattr(ops, name).default for name in (f"{op}_forward", f"{op}_"))

    def forward(ctx: Any, input: Tensor, *arguments: Any) -> Tensor:
        *parameters, inplace = arguments
        if inplace:
            ctx.mark_dirty(input)
            write(input, *parameters)
            output = input
        else:
            output = compute(input, *parameters)
        save(ctx, (input, *parameters), output)
        return output

    return forward


def declare_elementwise(
    operator: Operator, native_in_place: Callable[..., Tensor]
) -> tuple[Operator, Operator]:
    """Enters an operator, and completes it: what computes it, out of place and in place.

    Args:
        operator: its `check` returns the input and the parameters; without it, there are none.
        native_in_place: takes them, and writes to the input.

    Returns:
        The operator for calls out of place, and the one for those in place.
    """
    op = operator.name
    function: Any = operator.autograd
    write = getattr(ops, f"{op}_").default

    def recorded_in_place(input: Tensor, *parameters: float) -> Any:
        # A Function would find out that autograd forbids to write only after the kernel has.
        if (
            _only_aten_writes_to(input)
            or input.is_leaf
            or input._is_view()
            or _trains_faster_natively(input, _MIN_BYTES_FOR_FUNCTION)
        ):
            return native_in_place(input, *parameters)
        return function.apply(input, *parameters, True)

    def direct_in_place(input: Tensor, *parameters: float) -> Tensor:
        if _only_aten_writes_to(input):
            return native_in_place(input, *parameters)
        write(input, *parameters)
        torch.autograd.graph.increment_version(input)
        return input

    raw = (op, f"{op}_", f"{op}_backward", f"{op}_forward")
    out_of_place = declare(_computed_out_of_place(operator, raw, _MIN_BYTES_FOR_FUNCTION))
    in_place = replace(
        out_of_place,
        compiled=native_in_place,
        recorded=recorded_in_place,
        direct=direct_in_place,
    )
    return out_of_place, in_place


def declare_out_of_place(operator: Operator, min_bytes_for_function: int) -> Operator:
    """Enters an operator that has no form in place, and completes it.

    Args:
        operator: as `declare_elementwise` takes it.
        min_bytes_for_function: a smaller tensor trains faster with native's operator.
    """
    op = operator.name
    raw = (op, f"{op}_backward", f"{op}_forward")
    return declare(_computed_out_of_place(operator, raw, min_bytes_for_function))


def _computed_out_of_place(
    operator: Operator, raw: tuple[str, ...], min_bytes_for_function: int
) -> Operator:
    op = operator.name
    native: Any = operator.native
    function: Any = operator.autograd

    def recorded(input: Tensor, *parameters: float) -> Any:
        if _trains_faster_natively(input, min_bytes_for_function):
            return native(input, *parameters)
        return function.apply(input, *parameters)

    return replace(
        operator,
        raw=raw,
        kernels=op,
        compiled=getattr(ops, op).default,
        recorded=recorded,
        direct=getattr(direct, f"{op}_forward"),
    )


def check_vectors_win(input: Tensor) -> Checked:
    """The check of an operator that has vectors of float32 alone, and much to compute."""
    return FASTER_NATIVELY if _computes_faster_natively(input) else (input,)


def _computes_faster_natively(input: Tensor) -> bool:
    return input.is_cpu and input.dtype is torch.float64


def _trains_faster_natively(input: Tensor, min_bytes: int) -> bool:
    if type(input) is not Tensor or not input.is_cpu or input.nbytes >= min_bytes:
        return False
    # Unlike our operators, ATen's goes beyond the end of a storage that was freed or shrunk.
    end = input.storage_offset() * input.itemsize + input.nbytes
    return _is_flat(input) and end <= input.untyped_storage().nbytes()


def _only_aten_writes_to(input: Tensor) -> bool:
    """Whether the tensor is strided or negated, or one that may not be written to here."""
    return not _is_flat(input) or (input.is_inference() and not torch.is_inference_mode_enabled())


def _is_flat(tensor: Tensor) -> bool:
    """Whether the tensor is one dense array in either layout, of the values that it has."""
    if tensor.is_neg():  # the memory holds their negatives
        return False
    return tensor.is_contiguous() or (
        tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    )

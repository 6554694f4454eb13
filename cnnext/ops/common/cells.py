"""The arguments of recurrent cells as torch takes them, and the errors it raises for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from cnnext.ops.common.arguments import check_matmul_dtypes, shape_of
from cnnext.runtime.fallback import fallback_reason
from cnnext.runtime.operator import Operator

Biases = tuple[Tensor | None, Tensor | None]
Result = TypeVar("Result")


def check_module_call(name: str, input: Tensor, states: Sequence[Tensor]) -> None:
    """Raises what the module of that name raises for an input or a state that is no matrix or row.

    Those of an LSTM come in a sequence, and are called by their places in it.
    """
    dim = input.dim()
    if dim not in (1, 2):
        raise ValueError(f"{name}: Expected input to be 1D or 2D, got {dim}D instead")
    if dim == 2 and isinstance(states, Tensor):
        raise TypeError(f"{name}: hx must be a tuple of tensors, but is Tensor")
    for index, state in enumerate(states):
        if state.dim() == dim:
            continue
        called = f"hx[{index}]" if name == "LSTMCell" else "hx"
        if state.dim() not in (1, 2):
            what = "hidden" if called == "hx" else called
            raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {state.dim()}D instead")
        raise RuntimeError(
            f"{name}: {called} must be batched if and only if input is, but got "
            f"input.shape={shape_of(input)} and {called}.shape={shape_of(state)}"
        )


def why_native_cell(
    operator: Operator,
    input: Tensor,
    states: tuple[Tensor, ...],
    weights: tuple[Tensor, Tensor],
    b: Biases,
) -> str | None:
    """The reason why ATen has to compute the cell, or None if our kernels can."""
    reason = fallback_reason(operator, (input, *states, *weights, *b))
    if reason is not None:
        return reason
    for index, state in enumerate(states[1:], start=1):
        if state.dtype != input.dtype:
            return f"hx[{index}].dtype is {state.dtype}, input.dtype {input.dtype}"
    b_ih, b_hh = b
    if b_ih is None and b_hh is None:
        return None
    if b_ih is None or b_hh is None:
        given, missing = ("b_ih", "b_hh") if b_hh is None else ("b_hh", "b_ih")
        return f"{given} is given, but {missing} is None"
    for name, bias in (("b_ih", b_ih), ("b_hh", b_hh)):
        # Native takes a vector element by element, and broadcasts all else.
        if bias.dim() != 1 or bias.shape[0] == 1:
            return f"{name} has shape {shape_of(bias)}, w_ih {weights[0].shape[0]} rows"
    return None


def has_nothing_to_compute(
    input: Tensor, states: tuple[Tensor, ...], weights: tuple[Tensor, Tensor]
) -> bool:
    if not torch.compiler.is_compiling() and input.numel() > 0 and states[0].numel() > 0:
        return False  # weights that fit have elements then, and others are `checked`
    operands = (input, *states, *weights)
    return any(0 in operand.shape for operand in operands) and all(
        operand.dim() == 2 for operand in operands
    )


def checked(
    op: str,
    gates: int,
    input: Tensor,
    states: tuple[Tensor, ...],
    weights: tuple[Tensor, Tensor],
    b: Biases,
    compute: Callable[[], Result],
) -> Result:
    """`compute()`, or what torch raises for such operands.

    Our operators check them too before they compute anything, and faster than we can; only what
    they reject, or would take for several steps, is looked at here, to say what torch says.
    """
    if torch.compiler.is_compiling() or input.shape[:1] != states[0].shape[:1]:
        check_operands(op, gates, input, states, weights, b)
        return compute()
    try:
        return compute()
    except RuntimeError:
        check_operands(op, gates, input, states, weights, b)
        raise


def check_operands(
    op: str,
    gates: int,
    input: Tensor,
    states: tuple[Tensor, ...],
    weights: tuple[Tensor, Tensor],
    b: Biases,
) -> None:
    """Raises what torch raises: RuntimeError, or IndexError for a dimension that is missing."""
    w_ih, w_hh = weights
    names = [f"hx[{i}]" for i in range(len(states))] if len(states) > 1 else ["hx"]
    named_states = dict(zip(names, states, strict=True))
    for name, matrix in {"input": input, "w_ih": w_ih, "w_hh": w_hh, **named_states}.items():
        if matrix.dim() != 2:
            # What native asks a tensor for that has no such dimension; of an RNN's w_ih, its rows.
            asked = 1 if name.startswith("hx") or (gates == 1 and name == "w_ih") else 2
            missing = matrix.dim() < asked
            raise (IndexError if missing else RuntimeError)(
                f"{op}(): {name} must be 2-D, but got {name}.shape={shape_of(matrix)}"
            )
    batch, hidden = input.shape[0], w_hh.shape[1]
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(
            f"{op}(): input has inconsistent input_size: got {input.shape[1]} expected "
            f"{w_ih.shape[1]}; input.shape={shape_of(input)}, w_ih.shape={shape_of(w_ih)}"
        )
    for name, weight in (("ih", w_ih), ("hh", w_hh)):
        if weight.shape[0] != gates * hidden:
            raise RuntimeError(
                f"{op}(): weight_{name} first dim must be {gates} * hidden_size = "
                f"{gates * hidden}, but got {weight.shape[0]}; w_{name}.shape={shape_of(weight)}, "
                f"w_hh.shape={shape_of(w_hh)}"
            )
    for index, (name, state) in enumerate(named_states.items()):
        if state.shape[0] != batch:
            raise RuntimeError(
                f"{op}(): Input batch size {batch} doesn't match hidden{index} batch size "
                f"{state.shape[0]}; input.shape={shape_of(input)}, {name}.shape={shape_of(state)}"
            )
        if state.shape[1] != hidden:
            raise RuntimeError(
                f"{op}(): hidden{index} has inconsistent hidden_size: got {state.shape[1]}, "
                f"expected {hidden}; {name}.shape={shape_of(state)}, w_hh.shape={shape_of(w_hh)}"
            )
    for name, bias in zip(("b_ih", "b_hh"), b, strict=True):
        if bias is not None and shape_of(bias) != [gates * hidden]:
            raise RuntimeError(
                f"{op}(): {name} must have shape {[gates * hidden]} to fit "
                f"w_hh.shape={shape_of(w_hh)}, but got {name}.shape={shape_of(bias)}"
            )
    others = ("w_ih", "w_hh", "b_ih", "b_hh", "hx", "cx")
    tensors = (*weights, *b, *states)
    check_matmul_dtypes(op, input, **dict(zip(others, tensors, strict=False)))

"""The arguments of recurrent cells as torch takes them, and the errors it raises for the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.arguments import check_matmul_dtypes, shape_of
from cnnext.runtime.operator import Checked


def check_module_call(name: str, input: Tensor, states: Sequence[Tensor]) -> None:
    """Raises what module `name` raises for an input or a state that is neither a matrix nor a row.

    The states of an LSTM come in a sequence, and messages name them by their index in it.
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


def check_cell(op: str, gates: int, *operands: Any) -> Checked:
    """The `check` of a cell's declaration: `operands`, a reason why only ATen computes it, or None.

    Whether shapes and dtypes fit, our operators check before they compute anything, and faster than
    we can; here is asked for that only in graphs, and of what they would take for several steps.
    """
    input, *states, w_ih, w_hh, b_ih, b_hh = operands
    for index, state in enumerate(states[1:], start=1):
        if state.dtype != input.dtype:
            return f"hx[{index}].dtype is {state.dtype}, input.dtype {input.dtype}"
    if b_ih is not None or b_hh is not None:
        if b_ih is None or b_hh is None:
            present, missing = ("b_ih", "b_hh") if b_hh is None else ("b_hh", "b_ih")
            return f"{present} is given, but {missing} is None"
        for name, bias in (("b_ih", b_ih), ("b_hh", b_hh)):
            # Native takes a vector element by element, and broadcasts all else.
            if bias.dim() != 1 or bias.shape[0] == 1:
                return f"{name} has shape {shape_of(bias)}, w_ih {w_ih.shape[0]} rows"
    compiling = torch.compiler.is_compiling()
    # Weights that fit have elements where input and state have, and others are rejected.
    if compiling or input.numel() == 0 or states[0].numel() == 0:
        matrices = (input, *states, w_ih, w_hh)
        if any(0 in matrix.shape for matrix in matrices) and all(
            matrix.dim() == 2 for matrix in matrices
        ):
            return None
    if compiling or input.shape[:1] != states[0].shape[:1]:
        reject_misfits(op, gates, *operands)
    return operands


def reject_misfits(op: str, gates: int, *operands: Any) -> None:
    """Raises what torch raises, if shapes or dtypes of a cell's operands do not fit.

    That is a RuntimeError, or an IndexError for a dimension that is missing.
    """
    input, *states, w_ih, w_hh, b_ih, b_hh = operands
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
    for name, bias in (("b_ih", b_ih), ("b_hh", b_hh)):
        if bias is not None and shape_of(bias) != [gates * hidden]:
            raise RuntimeError(
                f"{op}(): {name} must have shape {[gates * hidden]} to fit "
                f"w_hh.shape={shape_of(w_hh)}, but got {name}.shape={shape_of(bias)}"
            )
    others = ("w_ih", "w_hh", "b_ih", "b_hh", "hx", "cx")
    tensors = (w_ih, w_hh, b_ih, b_hh, *states)
    check_matmul_dtypes(op, input, **dict(zip(others, tensors, strict=False)))

"""recurrence: one layer of an LSTM, a GRU or an RNN in one direction; with one step, a cell.

What `torch.nn.LSTM` and its kin are made of (cnnext/ops/recurrent_layers.py), and the cells of the
GRU and the RNN (cnnext/ops/recurrent_cells.py). The formulas are in csrc/recurrence/recurrence.h.

The rows of a step follow those of the step before, one row for each sequence; or, with
`batch_sizes` (int64, on the CPU, as in a `PackedSequence`), `batch_sizes[t]` rows for step `t`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.recurrence_formulas import Cell, differentiable_backward
from cnnext.runtime.fallback import gradient_needed
from cnnext.runtime.launch import way_of
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

Tensors = tuple[Tensor, ...]


# ------------------------------------------------------------------------------- fake kernels


@register_fake("recurrence", "recurrence_forward")
def _fake_forward(
    cell: int,
    input: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    batch_sizes: Tensor | None,
    reverse: bool,
    saves: bool,
) -> Tensors:
    rows, (batch, hidden), kind = input.shape[0], h0.shape, Cell(cell)
    saved_rows = rows if saves else 0
    return (
        input.new_empty((rows, hidden)),
        input.new_empty((batch, hidden)),
        input.new_empty((batch if kind is Cell.LSTM else 0, hidden)),
        input.new_empty((saved_rows, kind.workspace_blocks * hidden)),
        input.new_empty((saved_rows, hidden)),
    )


@register_fake("recurrence_backward")
def _fake_backward(
    cell: int,
    grad_output: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
    workspace: Tensor,
    state: Tensor,
    h0: Tensor | None,
    w_hh: Tensor | None,
    batch_sizes: Tensor | None,
    batch: int,
    reverse: bool,
) -> Tensors:
    (rows, hidden), kind = state.shape, Cell(cell)
    return (
        state.new_empty((rows, kind.gates * hidden)),
        state.new_empty((rows if kind is Cell.GRU else 0, kind.gates * hidden)),
        state.new_empty((0 if h0 is None else rows, hidden)),
        state.new_empty((batch, hidden)),
        state.new_empty((batch if kind is Cell.LSTM else 0, hidden)),
    )


# ----------------------------------------------------------------------------------- autograd


def _save(
    ctx: Any,
    cell: Cell,
    operands: Sequence[Any],
    batch_sizes: Tensor | None,
    reverse: bool,
    results: Sequence[Tensor],
    needed: Sequence[bool],
) -> None:
    """Keeps what the gradients need, and no more: the rest may be written to before backward.

    Nothing else refers to two of the results, the workspace and the state.
    """
    input, h0, _, w_ih, w_hh, *_ = operands
    need_input, need_h0, _, need_w_ih, need_w_hh, *_ = needed
    several_steps = input.shape[0] != h0.shape[0]
    ctx.set_materialize_grads(False)
    ctx.cell, ctx.batch, ctx.reverse = cell, h0.shape[0], reverse
    ctx.save_for_backward(
        input if need_w_ih else None,
        h0 if need_w_hh and cell is not Cell.GRU else None,
        w_ih if need_input else None,
        w_hh if need_h0 or several_steps else None,
        None if batch_sizes is None else batch_sizes.clone(),
        *results[3:],
    )


def _backward(
    ctx: Any, needed: Sequence[bool], grads: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """The gradients of the operands that need one, from the gradients of all results.

    The workspace and the state are results for the second derivative alone: as such they are
    differentiable, and the gradient of a gradient comes back as theirs.
    """
    if all(grad is None for grad in grads):
        return (None,) * len(needed)
    input, h0, w_ih, w_hh, batch_sizes, workspace, state = ctx.saved_tensors
    cell, batch, reverse = ctx.cell, ctx.batch, ctx.reverse
    if cell is not Cell.LSTM:
        grads = (*grads[:2], None, *grads[3:])
    if torch.is_grad_enabled() or any(grad is not None for grad in grads[3:]):
        sizes = [batch] * (state.shape[0] // batch)
        sizes = sizes if batch_sizes is None else batch_sizes.tolist()
        found = differentiable_backward(cell, grads, workspace, state, h0, w_hh, sizes, reverse)
    else:
        found = ops.recurrence_backward.default(
            cell, *grads[:3], workspace, state, h0, w_hh, batch_sizes, batch, reverse
        )
    u, u_of_h, h_before, grad_h0, grad_c0 = found
    if cell is Cell.GRU:
        h_before = state
    else:
        u_of_h = u
    return (
        times(u, w_ih) if needed[0] else None,
        grad_h0 if needed[1] else None,
        grad_c0 if needed[2] else None,
        *gradients_of_weights(needed[3:], u, u_of_h, input, h_before),
    )


def gradients_of_weights(
    needed: Sequence[bool], u: Tensor, u_of_h: Tensor, input: Any, h: Any
) -> tuple[Tensor | None, ...]:
    """The gradients of w_ih, w_hh, b_ih and b_hh that are needed.

    Args:
        u: the gradient of the gates before their activation, as w_ih and b_ih have it.
        u_of_h: the same as w_hh and b_hh have it; `u` itself, but for a GRU.
        input, h: what w_ih and w_hh were multiplied with, where it is needed.
    """
    grad_b_ih = u.sum(0) if needed[2] else None
    if not needed[3]:
        grad_b_hh = None
    elif grad_b_ih is None or u_of_h is not u:
        grad_b_hh = u_of_h.sum(0)
    else:
        grad_b_hh = grad_b_ih.clone()  # the same numbers, but each is the user's to scale
    return (
        _transposed_times(u, input) if needed[0] else None,
        _transposed_times(u_of_h, h) if needed[1] else None,
        grad_b_ih,
        grad_b_hh,
    )


def times(a: Tensor, b: Tensor) -> Tensor:
    if torch.is_grad_enabled() or a.numel() == 0 or b.numel() == 0:
        return a @ b
    return ops.linear_backward_input.default(a, b)


def _transposed_times(a: Tensor, b: Tensor) -> Tensor:
    if torch.is_grad_enabled() or a.numel() == 0 or b.numel() == 0:
        return a.t() @ b
    return ops.linear_backward_weight.default(a, b)


class RecurrenceFunction(torch.autograd.Function):
    """One layer in one direction; `apply` returns the output and the last states.

    Arguments: a `Cell`, batch_sizes or None, whether to go in reverse, input (rows, I), h0 (B, H),
    c0 (B, H) for the LSTM and else None, w_ih (gates H, I), w_hh (gates H, H), b_ih and b_hh
    (gates H) or both None. Returns output (rows, H), h_n (B, H) and, of the LSTM, c_n (B, H). Twice
    differentiable.
    """

    @classmethod
    def apply(cls, cell: Cell, *arguments: Any) -> Tensors:
        return _visible(cell, super().apply(cell, *arguments))

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, batch_sizes: Tensor | None, reverse: bool, *operands: Any
    ) -> Tensors:
        results = ops.recurrence_forward.default(cell, *operands, batch_sizes, reverse, True)
        _save(ctx, cell, operands, batch_sizes, reverse, results, ctx.needs_input_grad[3:])
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return (None, None, None, *_backward(ctx, ctx.needs_input_grad[3:], grads))


def _visible(cell: Cell, results: Tensors) -> Tensors:
    """The output and the last states; the workspace and the state are for `_backward` alone."""
    return results[:3] if cell is Cell.LSTM else results[:2]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
    cell, *operands, batch_sizes, reverse, _ = inputs
    needed = ctx.needs_input_grad[1:8]
    _save(ctx, Cell(cell), operands, batch_sizes, reverse, output, needed)


def _backward_of_operator(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    return (None, *_backward(ctx, ctx.needs_input_grad[1:8], grads), None, None, None)


register_autograd("recurrence", _backward_of_operator, _setup_context)

# ----------------------------------------------------------------------------------- function


def recurrence(
    cell: Cell,
    input: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor | None],
    batch_sizes: Tensor | None = None,
    reverse: bool = False,
) -> Tensors:
    """One layer in one direction, on operands that our kernels take.

    Args:
        cell: the kind of cell, with G gates.
        input: (rows, I).
        states: h_0 and, of the LSTM, c_0, each (B, H).
        weights: w_ih (G H, I), w_hh (G H, H), b_ih and b_hh (G H) or both None.
        batch_sizes: how many sequences each step has, from B downwards; None if all have all steps.
        reverse: from the last step to the first.

    Returns:
        The output (rows, H) and the last states, each (B, H).

    Raises:
        RuntimeError: shapes or dtypes do not fit.
    """
    h0, c0 = states if cell is Cell.LSTM else (states[0], None)
    operands = (input, h0, c0, *weights)
    return way_of(RECURRENCE, operands)(cell, batch_sizes, reverse, *operands)


def _compiled(
    cell: Cell, batch_sizes: Tensor | None, reverse: bool, *operands: Tensor | None
) -> Tensors:
    saves = gradient_needed(*operands)
    return _visible(cell, ops.recurrence.default(cell, *operands, batch_sizes, reverse, saves))


def _direct(
    cell: Cell, batch_sizes: Tensor | None, reverse: bool, *operands: Tensor | None
) -> Tensors:
    return _visible(cell, direct.recurrence_forward(cell, *operands, batch_sizes, reverse, False))


RECURRENCE = declare(
    Operator(
        name="recurrence",
        autograd=RecurrenceFunction,
        raw=("recurrence", "recurrence_backward", "recurrence_forward"),
        kernels="recurrence",
        compiled=_compiled,
        recorded=RecurrenceFunction.apply,
        direct=_direct,
    )
)

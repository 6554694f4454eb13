"""recurrence: one layer of an LSTM, a GRU or an RNN in one direction; with one step, a cell.

What `torch.nn.LSTM` and its kin are made of (cnnext/ops/recurrent_layers.py), and the cells of the
GRU and the RNN (cnnext/ops/recurrent_cells.py). The formulas are in csrc/recurrence/recurrence.h.

Rows are the steps one under the other, each with one row of every sequence; or, with `batch_sizes`
(int64, on the CPU, as in a `PackedSequence`), of as many of them as it says.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnext._library import direct, ops
from cnnext._routing import gradient_needed

Tensors = tuple[Tensor, ...]


class Cell(enum.IntEnum):
    """The kinds of cells, numbered as in the kernels."""

    LSTM = 0
    GRU = 1
    RNN_TANH = 2
    RNN_RELU = 3

    @property
    def gates(self) -> int:
        """How many blocks of hidden rows the weights have."""
        return {Cell.LSTM: 4, Cell.GRU: 3}.get(self, 1)

    @property
    def saved_slots(self) -> int:
        """How many values of each unit the backward pass needs."""
        return 4 if self in (Cell.LSTM, Cell.GRU) else 0


# ------------------------------------------------------------------------------- fake kernels


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
    has_c = kind is Cell.LSTM
    return (
        input.new_empty((rows, hidden)),
        input.new_empty((batch, hidden)),
        input.new_empty((batch if has_c else 0, hidden)),
        input.new_empty((rows if saves and kind.saved_slots else 0, kind.saved_slots * hidden)),
        input.new_empty((rows if saves and has_c else 0, hidden)),
    )


torch.library.register_fake("cnnext::recurrence")(_fake_forward)
torch.library.register_fake("cnnext::recurrence_forward")(_fake_forward)


@torch.library.register_fake("cnnext::recurrence_backward")
def _fake_backward(
    cell: int,
    grad_output: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
    slots: Tensor,
    state: Tensor,
    w_hh: Tensor,
    batch_sizes: Tensor | None,
    batch: int,
    reverse: bool,
) -> Tensors:
    (rows, hidden), kind = state.shape, Cell(cell)
    return (
        state.new_empty((rows, kind.gates * hidden)),
        state.new_empty((rows if kind is Cell.GRU else 0, kind.gates * hidden)),
        state.new_empty((batch, hidden)),
        state.new_empty((batch if kind is Cell.LSTM else 0, hidden)),
    )


# ----------------------------------------------------------------------------------- autograd

#: input, h0, c0, w_ih, w_hh, b_ih and b_hh.
_Operands = Sequence[Any]


def _save(
    ctx: Any,
    cell: Cell,
    operands: _Operands,
    batch_sizes: Tensor | None,
    reverse: bool,
    results: Sequence[Any],
) -> None:
    output, _, _, slots, c_before = results
    ctx.set_materialize_grads(False)
    ctx.cell, ctx.reverse = cell, reverse
    ctx.save_for_backward(*operands, batch_sizes, output, slots, c_before)


def _save_what_is_needed(
    ctx: Any,
    cell: Cell,
    operands: _Operands,
    batch_sizes: Tensor | None,
    reverse: bool,
    results: Sequence[Any],
) -> None:
    """As `_save`, but what the first derivatives can do without may be written to before backward.

    That is kept aside for the second ones, which notice if it was.
    """
    input, h0, *_ = operands
    need_input, need_h0, _, need_w_ih, need_w_hh, *_ = ctx.needs_input_grad[3:]
    several_steps = input.shape[0] != h0.shape[0]
    is_rnn = cell in (Cell.RNN_TANH, Cell.RNN_RELU)
    needed = (
        *(need_w_ih, need_w_hh or cell is Cell.GRU, False),
        *(need_input, need_h0 or several_steps, False, False),
    )
    ctx.aside = [
        None if operand is None or need else (operand, _version_of(operand))
        for operand, need in zip(operands, needed, strict=True)
    ]
    kept = [operand if need else None for operand, need in zip(operands, needed, strict=True)]
    output, *others = results
    keeps_output = is_rnn or several_steps and (need_w_hh or cell is Cell.GRU)
    _save(ctx, cell, kept, batch_sizes, reverse, (output if keeps_output else None, *others))


def _version_of(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


def _operands_of(ctx: Any, saved: Sequence[Tensor | None], *, unchanged: bool) -> list[Any]:
    """All operands; if they have to be `unchanged`, those that were kept aside, too."""
    operands: list[Any] = list(saved)
    for place, kept in enumerate(getattr(ctx, "aside", ())):
        if kept is None:
            continue
        operands[place], version = kept
        if unchanged and _version_of(operands[place]) != version:
            raise RuntimeError(
                "recurrence(): one of the variables needed for gradient computation has been "
                f"modified by an inplace operation: operand {place}, which is at version "
                f"{_version_of(operands[place])}, expected version {version}"
            )
    return operands


def _backward(
    ctx: Any,
    needed: Sequence[bool],
    grad_output: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """The gradients of the operands that are needed."""
    *saved, batch_sizes, output, slots, c_before = ctx.saved_tensors
    grads = (grad_output, grad_h_n, grad_c_n)
    if all(grad is None for grad in grads):
        return (None,) * len(saved)
    cell, reverse = ctx.cell, ctx.reverse
    wants_graph = torch.is_grad_enabled()
    operands = _operands_of(ctx, saved, unchanged=wants_graph)
    if wants_graph:
        return _differentiable_backward(cell, operands, batch_sizes, reverse, needed, grads)
    input, h0, _, w_ih, w_hh, *_ = operands
    before: Any = None
    if cell is Cell.GRU or needed[4]:
        before = h0
        if input.shape[0] != h0.shape[0]:
            before = _states_before(output, h0, batch_sizes, reverse)
    state = {Cell.LSTM: c_before, Cell.GRU: before}.get(cell, output)
    u, u_of_h, grad_h0, grad_c0 = ops.recurrence_backward.default(
        cell, *grads, slots, state, w_hh, batch_sizes, h0.shape[0], reverse
    )
    if cell is not Cell.GRU:
        u_of_h = u
    grad_b = u.sum(0) if needed[5] or (needed[6] and u_of_h is u) else None
    return (
        _product(ops.linear_backward_input.default, u, w_ih, input) if needed[0] else None,
        grad_h0 if needed[1] else None,
        grad_c0 if needed[2] else None,
        _product(ops.linear_backward_weight.default, u, input, w_ih) if needed[3] else None,
        _product(ops.linear_backward_weight.default, u_of_h, before, w_hh) if needed[4] else None,
        grad_b if needed[5] else None,
        (grad_b if u_of_h is u else u_of_h.sum(0)) if needed[6] else None,
    )


def _product(multiply: Any, a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """`multiply(a, b)` where there is something to multiply, else zeros."""
    return torch.zeros_like(like) if 0 in a.shape or 0 in b.shape else multiply(a, b)


def _states_before(output: Tensor, h0: Tensor, batch_sizes: Tensor | None, reverse: bool) -> Tensor:
    """The hidden state that each row's step starts from."""
    batch = h0.shape[0]
    if batch_sizes is None:
        return torch.cat((output[batch:], h0) if reverse else (h0, output[:-batch]))
    sizes = batch_sizes.tolist()
    steps = output.split(sizes)
    if not reverse:
        before = [step[:size] for step, size in zip(steps, sizes[1:], strict=False)]
        return torch.cat((h0, *before))
    pieces: list[Tensor] = []
    for size, after, after_size in zip(sizes, steps[1:], sizes[1:], strict=False):
        pieces += (after, h0[after_size:size])
    return torch.cat((*pieces, h0[: sizes[-1]]))


def _differentiable_backward(
    cell: Cell,
    operands: Sequence[Tensor | None],
    batch_sizes: Tensor | None,
    reverse: bool,
    needed: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """The gradients through ATen's operators, which can be differentiated again."""
    # A tensor may be given twice, and counts as two.
    own = [None if operand is None else operand.view_as(operand) for operand in operands]
    outputs = _by_aten(cell, own, batch_sizes, reverse)
    results = [(o, g) for o, g in zip(outputs, grads, strict=False) if g is not None]
    wanted: list[Any] = [operand for operand, need in zip(own, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in results],
            wanted,
            [grad for _, grad in results],
            create_graph=True,
            allow_unused=True,
        )
    )
    return tuple(next(found) if need else None for need in needed)


def _by_aten(
    cell: Cell, operands: Sequence[Any], batch_sizes: Tensor | None, reverse: bool
) -> Tensors:
    """The output and the last states, step by step."""
    input, h0, c0, w_ih, w_hh, b_ih, b_hh = operands
    batch = h0.shape[0]
    sizes = [batch] * (input.shape[0] // batch) if batch_sizes is None else batch_sizes.tolist()
    products = torch.nn.functional.linear(input, w_ih, b_ih).split(sizes)
    outputs: list[Tensor] = []
    states = [h0] if c0 is None else [h0, c0]
    for of_x, size in list(zip(products, sizes, strict=True))[:: -1 if reverse else 1]:
        here, rest = [s[:size] for s in states], [s[size:] for s in states]
        of_h = torch.nn.functional.linear(here[0], w_hh, b_hh)
        here = _STEPS[cell](of_x, of_h, *here)
        states = [torch.cat(pair) for pair in zip(here, rest, strict=True)]
        outputs.append(here[0])
    return (torch.cat(outputs[:: -1 if reverse else 1]), *states)


def _lstm_step(of_x: Tensor, of_h: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
    i, f, g, o = (of_x + of_h).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]


def _gru_step(of_x: Tensor, of_h: Tensor, h: Tensor) -> list[Tensor]:
    (x_r, x_z, x_n), (h_r, h_z, h_n) = of_x.chunk(3, dim=1), of_h.chunk(3, dim=1)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return [n + torch.sigmoid(x_z + h_z) * (h - n)]


_STEPS: dict[Cell, Any] = {
    Cell.LSTM: _lstm_step,
    Cell.GRU: _gru_step,
    Cell.RNN_TANH: lambda of_x, of_h, h: [torch.tanh(of_x + of_h)],
    Cell.RNN_RELU: lambda of_x, of_h, h: [torch.relu(of_x + of_h)],
}


class RecurrenceFunction(torch.autograd.Function):
    """One layer in one direction; `apply` returns the output and the last states.

    Arguments: a `Cell`, batch_sizes or None, whether to go in reverse, input (rows, I), h0 (B, H),
    c0 (B, H) for the LSTM and else None, w_ih (gates H, I), w_hh (gates H, H), b_ih and b_hh
    (gates H) or both None. Returns output (rows, H), h_n (B, H) and, of the LSTM, c_n (B, H). Twice
    differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, batch_sizes: Tensor | None, reverse: bool, *operands: Any
    ) -> Tensors:
        results = ops.recurrence_forward.default(cell, *operands, batch_sizes, reverse, True)
        _save_what_is_needed(ctx, cell, operands, batch_sizes, reverse, results)
        return results[:3] if cell is Cell.LSTM else results[:2]

    @staticmethod
    def backward(
        ctx: Any, grad_output: Tensor | None, grad_h_n: Tensor | None, grad_c_n: Any = None
    ) -> tuple[Any, ...]:
        needed = ctx.needs_input_grad[3:]
        return (None, None, None, *_backward(ctx, needed, grad_output, grad_h_n, grad_c_n))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
    cell, *operands, batch_sizes, reverse, _ = inputs
    _save(ctx, Cell(cell), operands, batch_sizes, reverse, output)


def _backward_of_operator(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    grad_output, grad_h_n, grad_c_n = grads[:3]
    if ctx.cell is not Cell.LSTM:
        grad_c_n = None
    needed = ctx.needs_input_grad[1:8]
    return (None, *_backward(ctx, needed, grad_output, grad_h_n, grad_c_n), None, None, None)


torch.library.register_autograd(
    "cnnext::recurrence", _backward_of_operator, setup_context=_setup_context
)

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
    needed = gradient_needed(*operands)
    if needed and not torch.compiler.is_compiling():
        return RecurrenceFunction.apply(cell, batch_sizes, reverse, *operands)
    if torch.compiler.is_compiling():
        results = ops.recurrence.default(cell, *operands, batch_sizes, reverse, needed)
    else:
        results = direct.recurrence_forward(cell, *operands, batch_sizes, reverse, False)
    return results[:3] if cell is Cell.LSTM else results[:2]

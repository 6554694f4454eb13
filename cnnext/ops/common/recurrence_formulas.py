"""The backward passes of LSTM, GRU and RNN in operators that have gradients themselves.

By these, and not by the kernels, gradients are computed that will be differentiated again. The
formulas are in csrc/recurrence/recurrence.h; they start from the workspace and the state that the
forward pass has left, which count as its results: what they have of gradients themselves
(`d_workspace` and `d_state`) adds up with what comes from the results proper.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


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
    def workspace_blocks(self) -> int:
        """How many values of each unit the backward pass needs, besides the state."""
        return 4 if self in (Cell.LSTM, Cell.GRU) else 0


def differentiable_backward(
    cell: Cell,
    grads: Sequence[Tensor | None],
    workspace: Tensor,
    state: Tensor,
    h0: Tensor | None,
    w_hh: Tensor | None,
    sizes: list[int],
    reverse: bool,
) -> tuple[Any, ...]:
    """What the operator `recurrence_backward` returns, but for the h_before of a GRU.

    Args:
        grads: of the output, h_n, c_n, the workspace and the state; None for zero.
        workspace, state: what the forward pass has left.
        h0: None if h_before is not needed.
        w_hh: None if there is one step and the gradient of h0 is not needed.
        sizes: how many sequences each step has.
    """
    first = state[: sizes[0]]
    dy, dh, dc, d_workspace, d_state = (
        torch.zeros_like(like) if grad is None else grad
        for grad, like in zip(grads, (state, first, first, workspace, state), strict=True)
    )
    of_rows = (workspace, state, dy, d_workspace, d_state)
    rows = list(zip(*(t.split(sizes) for t in of_rows), strict=True))
    u: list[Any] = [None] * len(sizes)
    u_of_h = list(u)
    for step in range(len(sizes)) if reverse else reversed(range(len(sizes))):
        size, (saved, state_before, of_y, *of_saved) = sizes[step], rows[step]
        u[step], u_of_h[step], dh_here, dc_here = _STEPS_BACKWARD[cell](
            saved, state_before, dh[:size] + of_y, dc[:size], *of_saved
        )
        if w_hh is not None:
            dh_here = dh_here + u_of_h[step] @ w_hh
        dh, dc = torch.cat((dh_here, dh[size:])), torch.cat((dc_here, dc[size:]))
    h_before = None
    if h0 is not None:
        h_before = _states_before(_states_after(cell, workspace, state), h0, sizes, reverse)
    return torch.cat(u), torch.cat(u_of_h), h_before, dh, dc


def lstm_step_backward(
    gates: Tensor, c: Tensor, dh: Tensor | None, dc: Tensor | None, d_gates: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradients of z, from which the gates come, and of the c that the step starts from."""
    i, f, g, o = gates.chunk(4, dim=1)
    tanh_c = torch.tanh(f * c + i * g)
    if dh is None:
        dh = torch.zeros_like(c)
    dc_next = dh * o * (1 - tanh_c.square())
    if dc is not None:
        dc_next = dc_next + dc
    of_gates = torch.cat((dc_next * g, dc_next * c, dc_next * i, dh * tanh_c), dim=1)
    if d_gates is not None:
        of_gates = of_gates + d_gates
    slopes = torch.cat((i * (1 - i), f * (1 - f), 1 - g.square(), o * (1 - o)), dim=1)
    return of_gates * slopes, dc_next * f


# The backward pass of one step yields u, the same for w_hh, and what goes on to h (other than by
# w_hh) and to c.


def _lstm_step_backward(
    gates: Tensor, c: Tensor, dh: Tensor, dc: Tensor, d_gates: Tensor, d_state: Tensor
) -> tuple[Tensor, ...]:
    u, dc_before = lstm_step_backward(gates, c, dh, dc, d_gates)
    return u, u, torch.zeros_like(dh), dc_before + d_state


def _gru_step_backward(
    workspace: Tensor, h: Tensor, dh: Tensor, dc: Tensor, d_workspace: Tensor, d_state: Tensor
) -> tuple[Tensor, ...]:
    (n, r, z, q), (d_n, d_r, d_z, d_q) = (t.chunk(4, dim=1) for t in (workspace, d_workspace))
    u_n = (dh * (1 - z) + d_n) * (1 - n.square())
    u_r = (u_n * q + d_r) * r * (1 - r)
    u_z = (dh * (h - n) + d_z) * z * (1 - z)
    u, u_of_h = (torch.cat((u_r, u_z, last), dim=1) for last in (u_n, u_n * r + d_q))
    return u, u_of_h, dh * z + d_state, dc


def _rnn_tanh_step_backward(
    _: Tensor, h_next: Tensor, dh: Tensor, dc: Tensor, d_workspace: Tensor, d_state: Tensor
) -> tuple[Tensor, ...]:
    u = (dh + d_state) * (1 - h_next.square())
    return u, u, torch.zeros_like(dh), dc


def _rnn_relu_step_backward(
    _: Tensor, h_next: Tensor, dh: Tensor, dc: Tensor, d_workspace: Tensor, d_state: Tensor
) -> tuple[Tensor, ...]:
    u = torch.ops.aten.threshold_backward.default(dh + d_state, h_next, 0)
    return u, u, torch.zeros_like(dh), dc


_STEPS_BACKWARD: dict[Cell, Any] = {
    Cell.LSTM: _lstm_step_backward,
    Cell.GRU: _gru_step_backward,
    Cell.RNN_TANH: _rnn_tanh_step_backward,
    Cell.RNN_RELU: _rnn_relu_step_backward,
}


def _states_after(cell: Cell, workspace: Tensor, state: Tensor) -> Tensor:
    """The h that each row's step ends with, in an LSTM or an RNN."""
    if cell is not Cell.LSTM:
        return state
    i, f, g, o = workspace.chunk(4, dim=1)
    return o * torch.tanh(f * state + i * g)


def _states_before(after: Tensor, h0: Tensor, sizes: list[int], reverse: bool) -> Tensor:
    """The h that each row's step starts from."""
    steps = after.split(sizes)
    if not reverse:
        before = [step[:size] for step, size in zip(steps, sizes[1:], strict=False)]
        return torch.cat((h0, *before))
    pieces: list[Tensor] = []
    for size, step, step_size in zip(sizes, steps[1:], sizes[1:], strict=False):
        pieces += (step, h0[step_size:size])
    return torch.cat((*pieces, h0[: sizes[-1]]))

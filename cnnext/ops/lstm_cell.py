"""lstm_cell: `torch.lstm_cell` and `torch.nn.LSTMCell` on cnnext's kernels.

A `recurrence` of one step that has operators of its own, in every graph and on CUDA, too.
"""

from __future__ import annotations

from abc import ABCMeta
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.cells import check_cell, check_module_call, reject_misfits
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.recurrence_formulas import Cell, lstm_step_backward
from cnnext.ops.recurrence import gradients_of_weights, times
from cnnext.runtime.fallback import gradient_needed, is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

States = tuple[Tensor, Tensor]

# ------------------------------------------------------------------------------- fake kernels


@register_fake("lstm_cell", "lstm_cell_forward")
def _fake_forward(input: Tensor, hx: Tensor, *rest: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    batch, hidden = hx.shape
    return (
        hx.new_empty((batch, hidden)),
        hx.new_empty((batch, hidden)),
        hx.new_empty((batch, 4 * hidden)),
    )


@register_fake("lstm_cell_backward")
def _fake_backward(
    grad_h: Tensor | None, grad_c: Tensor | None, cx: Tensor, gates: Tensor
) -> States:
    batch, hidden = cx.shape
    return cx.new_empty((batch, 4 * hidden)), cx.new_empty((batch, hidden))


# ----------------------------------------------------------------------------------- autograd


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keeps what the gradients need, and no more: the rest may be written to before backward."""
    input, hx, cx, w_ih, w_hh, *_ = inputs
    need_input, need_hx, _, need_w_ih, need_w_hh, *_ = ctx.needs_input_grad
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(
        input if need_w_ih else None,
        hx if need_w_hh else None,
        cx,
        w_ih if need_input else None,
        w_hh if need_hx else None,
        output[2],
    )


def _backward(
    ctx: Any, grad_h: Tensor | None, grad_c: Tensor | None, grad_gates: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The gradients of input, hx, cx, w_ih, w_hh, b_ih, b_hh that are needed.

    The gates are an output for the second derivative alone: as such they are differentiable, and
    the gradient of a gradient comes back as theirs.
    """
    input, hx, cx, w_ih, w_hh, gates = ctx.saved_tensors
    needed = ctx.needs_input_grad[:7]
    if grad_h is None and grad_c is None and grad_gates is None:
        return (None,) * 7
    if torch.is_grad_enabled() or grad_gates is not None:
        dz, grad_cx = lstm_step_backward(gates, cx, grad_h, grad_c, grad_gates)
    else:
        dz, grad_cx = ops.lstm_cell_backward.default(grad_h, grad_c, cx, gates)
    return (
        times(dz, w_ih) if needed[0] else None,
        times(dz, w_hh) if needed[1] else None,
        grad_cx if needed[2] else None,
        *gradients_of_weights(needed[3:], dz, dz, input, hx),
    )


_Recorded: Any = register_autograd("lstm_cell", _backward, _save)


class LSTMCellFunction(_Recorded):
    """One step of an LSTM on matrices; `apply` returns (h', c').

    Arguments: input (B, I), hx and cx (B, H), w_ih (4H, I), w_hh (4H, H), b_ih and b_hh (4H) or
    both None. Twice differentiable.
    """

    @classmethod
    def apply(cls, *operands: Any) -> States:
        return super().apply(*operands)[:2]  # the gates are for `_backward` alone

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        hx: Tensor,
        cx: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return _Recorded.forward(ctx, input, hx, cx, w_ih, w_hh, b_ih, b_hh)


# ----------------------------------------------------------------------------------- function


def lstm_cell(
    input: Tensor,
    hx: States | list[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> States:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997), as `torch.lstm_cell`.

    Args:
        input: (B, I), float32 or float64, on CUDA also float16 or bfloat16 (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        hx: hidden and cell state, each (B, H).
        w_ih, w_hh: (4H, I) and (4H, H), the gates in the order input, forget, cell, output.
        b_ih, b_hh: (4H,) or None.

    Returns:
        The next hidden and cell state, each (B, H).

    Raises:
        RuntimeError: shapes or dtypes do not fit.
        TypeError: an argument is not a tensor.
    """
    if not isinstance(hx, tuple | list):
        raise TypeError(f"lstm_cell(): hx must be a tuple of tensors, but is {type(hx).__name__}")
    if len(hx) != 2:
        raise RuntimeError(
            f"lstm_cell(): lstm_cell expects two hidden states, but hx holds {len(hx)}"
        )
    operands = (input, *hx, w_ih, w_hh, b_ih, b_hh)
    return launch(LSTM_CELL, operands, given=(input, hx, w_ih, w_hh, b_ih, b_hh))


def _compiled(*operands: Any) -> States:
    return ops.lstm_cell.default(*operands)[:2]


def _recorded(input: Tensor, h: Tensor, c: Tensor, *parameters: Tensor | None) -> States:
    if c.requires_grad and not gradient_needed(input, h, *parameters):
        c = c.clone()  # native needs no c for its own gradient, so the user may write to it
    return LSTMCellFunction.apply(input, h, c, *parameters)


def _direct(*operands: Any) -> States:
    return direct.lstm_cell_forward(*operands)[:2]


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.LSTMCell)


@_native.drop_in
class LSTMCell(torch.nn.LSTMCell, metaclass=ABCMeta):
    """`torch.nn.LSTMCell` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (B, input_size) or (input_size,), states (B, hidden_size) or (hidden_size,).
    """

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> States:
        if not is_scripting():
            if _native.cls.forward is not _native.forward:
                return _native.call_replaced("forward", self, input, hx)
            check_module_call("LSTMCell", input, () if hx is None else hx)
        batched = input.dim() == 2
        rows = input if batched else input.unsqueeze(0)
        if hx is None:
            zeros = torch.zeros(
                rows.size(0), self.hidden_size, dtype=input.dtype, device=input.device
            )
            hx = (zeros, zeros)
        elif not batched:
            hx = (hx[0].unsqueeze(0), hx[1].unsqueeze(0))
        if is_scripting():
            h, c = torch._VF.lstm_cell(
                rows, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
            )
        else:
            h, c = lstm_cell(rows, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))


LSTM_CELL = declare(
    Operator(
        name="lstm_cell",
        function=lstm_cell,
        native=torch.lstm_cell,
        module=LSTMCell,
        autograd=LSTMCellFunction,
        raw=("lstm_cell", "lstm_cell_backward", "lstm_cell_forward"),
        optional=2,
        check=partial(check_cell, "lstm_cell", Cell.LSTM.gates),
        compiled=_compiled,
        recorded=_recorded,
        direct=_direct,
        explain=partial(reject_misfits, "lstm_cell", Cell.LSTM.gates),
        cuda=CudaRule("native", "ATen launches as many kernels and moves as many bytes"),
    )
)

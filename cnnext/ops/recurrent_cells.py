"""`torch.nn.GRUCell` and `RNNCell` on cnnext's kernels: a `recurrence` of one step."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.ops.common.cells import check_cell, check_module_call, reject_misfits
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.recurrence_formulas import Cell
from cnnext.ops.recurrence import RECURRENCE
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import CudaRule, Operator, declare

# ---------------------------------------------------------------------------------- functions


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of a GRU (Cho et al. 2014, in the variant of torch.nn), as `torch.gru_cell`.

    Args:
        input: (B, I), float32 or float64 (anything else that native takes is computed by native
            PyTorch, with one `NativeFallbackWarning`).
        hx: the hidden state, (B, H).
        w_ih, w_hh: (3H, I) and (3H, H), the gates in the order reset, update, new.
        b_ih, b_hh: (3H,) or None.

    Returns:
        The next hidden state, (B, H).

    Raises:
        RuntimeError: shapes or dtypes do not fit.
        TypeError: an argument is not a tensor.
    """
    return launch(GRU_CELL, (input, hx, w_ih, w_hh, b_ih, b_hh))


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of an RNN (Elman 1990) with tanh, as `torch.rnn_tanh_cell`.

    Args:
        input: (B, I), float32 or float64 (anything else that native takes is computed by native
            PyTorch, with one `NativeFallbackWarning`).
        hx: the hidden state, (B, H).
        w_ih, w_hh: (H, I) and (H, H).
        b_ih, b_hh: (H,) or None.

    Returns:
        The next hidden state, (B, H).

    Raises:
        RuntimeError: shapes or dtypes do not fit.
        TypeError: an argument is not a tensor.
    """
    return launch(RNN_TANH_CELL, (input, hx, w_ih, w_hh, b_ih, b_hh))


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """One step of an RNN with max(0, .), as `torch.rnn_relu_cell`; see `rnn_tanh_cell`."""
    return launch(RNN_RELU_CELL, (input, hx, w_ih, w_hh, b_ih, b_hh))


def _one_step(cell: Cell, compute: Any) -> Callable[..., Tensor]:
    """What a cell computes by one of the three ways of `recurrence`."""

    def next_state(input: Tensor, hx: Tensor, *weights: Tensor | None) -> Tensor:
        output = compute(cell, None, False, input, hx, None, *weights)[0]
        if cell is Cell.GRU and not hx.is_contiguous() and hx.stride(0) < hx.stride(1):
            return output.t().contiguous().t()  # in memory, native's is ordered as its state
        return output

    return next_state


# ------------------------------------------------------------------------------------ modules


def _batch_of(input: Tensor, hx: Tensor | None, hidden_size: int) -> tuple[Tensor, Tensor]:
    """Input and state as matrices; a state that is not given is zero."""
    batched = input.dim() == 2
    rows = input if batched else input.unsqueeze(0)
    if hx is None:
        zeros = torch.zeros(rows.size(0), hidden_size, dtype=input.dtype, device=input.device)
        return rows, zeros
    return rows, hx if batched else hx.unsqueeze(0)


_native_gru_cell = NativeLayer(torch.nn.GRUCell)


@_native_gru_cell.drop_in
class GRUCell(torch.nn.GRUCell, metaclass=ABCMeta):
    """`torch.nn.GRUCell` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (B, input_size) or (input_size,), state (B, hidden_size) or (hidden_size,).
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if not is_scripting():
            if _native_gru_cell.cls.forward is not _native_gru_cell.forward:
                return _native_gru_cell.call_replaced("forward", self, input, hx)
            check_module_call("GRUCell", input, () if hx is None else (hx,))
        rows, state = _batch_of(input, hx, self.hidden_size)
        if is_scripting():
            h = torch._VF.gru_cell(
                rows, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
            )
        else:
            h = gru_cell(rows, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h if input.dim() == 2 else h.squeeze(0)


_native_rnn_cell = NativeLayer(torch.nn.RNNCell)


@_native_rnn_cell.drop_in
class RNNCell(torch.nn.RNNCell, metaclass=ABCMeta):
    """`torch.nn.RNNCell` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (B, input_size) or (input_size,), state (B, hidden_size) or (hidden_size,).
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if not is_scripting():
            if _native_rnn_cell.cls.forward is not _native_rnn_cell.forward:
                return _native_rnn_cell.call_replaced("forward", self, input, hx)
            check_module_call("RNNCell", input, () if hx is None else (hx,))
        rows, state = _batch_of(input, hx, self.hidden_size)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        if is_scripting():
            if self.nonlinearity == "tanh":
                h = torch._VF.rnn_tanh_cell(
                    rows, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
                )
            else:
                h = torch._VF.rnn_relu_cell(
                    rows, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
                )
        else:
            cell = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
            h = cell(rows, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h if input.dim() == 2 else h.squeeze(0)


_CUDA = CudaRule(
    "native", "ATen launches as many kernels and moves as many bytes", has_kernels=False
)


def _declare(
    cell: Cell, function: Callable[..., Tensor], native: Callable[..., Tensor], module: type[Module]
) -> Operator:
    name = function.__name__
    return declare(
        Operator(
            name,
            function=function,
            native=native,
            module=module,
            cuda=_CUDA,
            optional=2,
            check=partial(check_cell, name, cell.gates),
            compiled=_one_step(cell, RECURRENCE.compiled),
            recorded=_one_step(cell, RECURRENCE.recorded),
            direct=_one_step(cell, RECURRENCE.direct),
            explain=partial(reject_misfits, name, cell.gates),
        )
    )


GRU_CELL = _declare(Cell.GRU, gru_cell, torch.gru_cell, GRUCell)
RNN_TANH_CELL = _declare(Cell.RNN_TANH, rnn_tanh_cell, torch.rnn_tanh_cell, RNNCell)
RNN_RELU_CELL = _declare(Cell.RNN_RELU, rnn_relu_cell, torch.rnn_relu_cell, RNNCell)

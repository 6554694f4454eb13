"""`torch.nn.LSTM`, `GRU` and `RNN` on cnnext's kernels: layers of `recurrence` over each other."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.recurrence_formulas import Cell
from cnnext.ops.recurrence import Tensors, recurrence
from cnnext.runtime.fallback import call_instead, fallback_reason, recording_reason
from cnnext.runtime.operator import OPERATORS, CudaRule, Operator, declare

_CELLS = {
    "LSTM": Cell.LSTM,
    "GRU": Cell.GRU,
    "RNN_TANH": Cell.RNN_TANH,
    "RNN_RELU": Cell.RNN_RELU,
}


# The methods that native's forward pass calls, without `_update_flat_weights`, which ours calls
# as well.
_METHODS = (
    "forward",
    "check_forward_args",
    "check_hidden_size",
    "check_input",
    "get_expected_cell_size",
    "get_expected_hidden_size",
    "permute_hidden",
)


def _forward(layers: torch.nn.RNNBase, native: NativeLayer, input: Any, hx: Any) -> Any:
    """What native's `forward(layers, input, hx)` returns, by our kernels where they can.

    A call that is not as it should be goes to native, which knows how to reject it.
    """
    if native.is_replaced():
        return native.call_replaced("forward", layers, input, hx)
    layers._update_flat_weights()
    name = native.cls.__name__
    if (reason := recording_reason()) is not None:
        return call_instead(name, reason, native.forward, layers, input, hx)
    packed = isinstance(input, PackedSequence)
    data, batch_sizes, order, original_order = input if packed else (input, None, None, None)
    states = _states_of(layers, data, hx, batch_sizes)
    if states is None or not _fits(layers, data, states):
        if packed and data.dim() == 2 and data.shape[1] != layers.input_size:
            layers.check_input(data, batch_sizes)  # native's LSTM does not, and reads beyond it
        return native.forward(layers, input, hx)
    weights = [weight for weight in layers._flat_weights if weight is not None]
    reason = fallback_reason(OPERATORS[name], (data, *states, *weights))
    reason = reason or _why_native(layers, batch_sizes)
    if reason is not None:
        return call_instead(name, reason, native.forward, layers, input, hx)

    if packed:
        if hx is not None:
            states = _in_order(states, order)
        output, states = _run(layers, data, batch_sizes, states)
        states = _in_order(states, original_order)
        result: Any = PackedSequence(output, batch_sizes, order, original_order)
    else:
        batched = data.dim() == 3
        if batched and layers.batch_first:
            data = data.transpose(0, 1)
        result, states = _run(layers, data.reshape(-1, data.shape[-1]), None, states)
        if batched:
            result = result.view(*data.shape[:2], result.shape[-1])
            if layers.batch_first:
                result = result.transpose(0, 1)
        else:
            states = tuple(state.squeeze(1) for state in states)
    return result, states if isinstance(layers, torch.nn.LSTM) else states[0]


def _states_of(
    layers: torch.nn.RNNBase, data: Any, hx: Any, batch_sizes: Tensor | None
) -> Tensors | None:
    """The first states, each (layers * directions, B, H); None if a call is not as it should be."""
    if not isinstance(data, Tensor) or data.dim() not in ((2, 3) if batch_sizes is None else (2,)):
        return None
    batched = batch_sizes is not None or data.dim() == 3
    if batch_sizes is not None:
        batch = int(batch_sizes[0])
    else:
        batch = data.shape[0 if layers.batch_first else 1] if batched else 1
    count = layers.num_layers * (2 if layers.bidirectional else 1)
    shape = (count, batch, layers.hidden_size)
    several = isinstance(layers, torch.nn.LSTM)
    if hx is None:
        zeros = data.new_zeros(shape)
        return (zeros, zeros) if several else (zeros,)
    if several != isinstance(hx, tuple | list) or (several and len(hx) != 2):
        return None
    states = tuple(hx) if several else (hx,)
    if not all(isinstance(state, Tensor) for state in states):
        return None
    if not batched:
        if any(state.dim() != 2 for state in states):
            return None
        states = tuple(state.unsqueeze(1) for state in states)
    return states if all(state.shape == shape for state in states) else None


def _fits(layers: torch.nn.RNNBase, data: Tensor, states: Tensors) -> bool:
    """Whether all tensors are of one dtype, and there is something to compute."""
    if not isinstance(layers.bidirectional, bool):  # which native's kernels require
        return False
    if data.shape[-1] != layers.input_size or 0 in data.shape:
        return False
    tensors = (*states, *layers._flat_weights)
    return all(isinstance(t, Tensor) and t.dtype == data.dtype for t in tensors)


def _why_native(layers: torch.nn.RNNBase, batch_sizes: Tensor | None) -> str | None:
    """The reason why ATen has to compute these layers, or None if our kernels can."""
    if layers.proj_size > 0:
        return f"there are no kernels for proj_size={layers.proj_size}"
    if batch_sizes is not None and torch.compiler.is_compiling():
        return "torch.compile traces a PackedSequence"
    return None


def _in_order(states: Tensors, order: Tensor | None) -> Tensors:
    if order is None:
        return states
    return tuple(state.index_select(1, order) for state in states)


def _run(
    layers: torch.nn.RNNBase, rows: Tensor, batch_sizes: Tensor | None, states: Tensors
) -> tuple[Tensor, Tensors]:
    """All layers in all directions; the output (rows, directions * H) and the last states."""
    cell = _CELLS[layers.mode]
    directions = 2 if layers.bidirectional else 1
    firsts = list(zip(*(state.unbind(0) for state in states), strict=True))
    weights = list(_weights_of(layers))
    lasts: list[Tensors] = []
    for layer in range(layers.num_layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            output, *last = recurrence(
                cell, rows, firsts[index], weights[index], batch_sizes, reverse=direction == 1
            )
            outputs.append(output)
            lasts.append(tuple(last))
        rows = torch.cat(outputs, dim=1) if directions > 1 else outputs[0]
        if layers.training and layers.dropout != 0 and layer < layers.num_layers - 1:
            rows = torch.dropout(rows, layers.dropout, True)
    return rows, tuple(torch.stack(each) for each in zip(*lasts, strict=True))


def _weights_of(layers: torch.nn.RNNBase) -> Iterator[Sequence[Tensor | None]]:
    """w_ih, w_hh, b_ih and b_hh of each layer and direction."""
    flat = layers._flat_weights
    each = 4 if layers.bias else 2
    for first in range(0, len(flat), each):
        weights = flat[first : first + each]
        yield weights if layers.bias else (*weights, None, None)


_native_lstm = NativeLayer(torch.nn.LSTM, *_METHODS, scriptable=False)


@_native_lstm.drop_in
class LSTM(torch.nn.LSTM, metaclass=ABCMeta):
    """`torch.nn.LSTM` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (T, B, I), (B, T, I) with `batch_first`, (T, I), or a `PackedSequence`; states
    (layers * directions, B, H). With `proj_size`, and on CUDA, native PyTorch computes it;
    TorchScript compiles native's.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        return _forward(self, _native_lstm, input, hx)


_native_gru = NativeLayer(torch.nn.GRU, *_METHODS, scriptable=False)


@_native_gru.drop_in
class GRU(torch.nn.GRU, metaclass=ABCMeta):
    """`torch.nn.GRU` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (T, B, I), (B, T, I) with `batch_first`, (T, I), or a `PackedSequence`; states
    (layers * directions, B, H). On CUDA native PyTorch computes it; TorchScript compiles native's.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        return _forward(self, _native_gru, input, hx)


_native_rnn = NativeLayer(torch.nn.RNN, *_METHODS, scriptable=False)


@_native_rnn.drop_in
class RNN(torch.nn.RNN, metaclass=ABCMeta):
    """`torch.nn.RNN` on cnnext's kernels: same arguments, parameters and results.

    Shapes: input (T, B, I), (B, T, I) with `batch_first`, (T, I), or a `PackedSequence`; states
    (layers * directions, B, H). On CUDA native PyTorch computes it; TorchScript compiles native's.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        return _forward(self, _native_rnn, input, hx)


_CUDA = CudaRule("native", "cuDNN takes all steps in one call", has_kernels=False)
LAYERS = tuple(
    declare(Operator(layer.__name__, module=layer, cuda=_CUDA)) for layer in (GRU, LSTM, RNN)
)

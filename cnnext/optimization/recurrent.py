"""What calls of recurrent layers are in a graph: an operator for each of their layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from cnnext.optimization import operands, structure
from cnnext.optimization.graph import Node
from cnnext.optimization.operands import Constant, Unsupported
from cnnext.optimization.sequences import step, transposed

_CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}

_ROLES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def recurrent(
    layer: nn.RNNBase, tensors: Callable[[str], Constant | None], input: Any, hx: Any = None
) -> tuple[Any, ...]:
    """The output, and the last hidden states, of each layer and direction; no states of cells."""
    value = operands.value_of(input)
    if value.rank != 3:
        raise Unsupported(f"an operand has {value.rank or 'any number of'} dimensions, not 3")
    if hx is not None:
        raise Unsupported("first states are given")
    if layer.proj_size > 0:
        raise Unsupported(f"proj_size={layer.proj_size}")
    if layer.training and layer.dropout != 0:
        raise Unsupported("drops values at random")
    size, directions = layer.hidden_size, 2 if layer.bidirectional else 1
    y = transposed(value) if layer.batch_first else value
    hidden: list[Node] = []
    for i in range(layer.num_layers):
        constants = {
            f"{role}{end}": tensors(f"{role}_l{i}{end}")
            for end in ("", "_reverse")[:directions]
            for role in _ROLES[: 4 if layer.bias else 2]
        }
        y = Node(
            "recurrence",
            (y,),
            {"cell": _CELLS[layer.mode]},
            operands.weights_of(**constants),
            shape=(None, None, directions * size),
        )
        for direction in range(directions):
            last = step(y, -1 if direction == 0 else 0, dim=0)
            start = direction * size
            hidden.append(structure.channel_range(last, start, start + size))
    output = transposed(y) if layer.batch_first else y
    states = tuple(hidden)
    return output, (states, ()) if isinstance(layer, nn.LSTM) else states

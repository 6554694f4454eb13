"""LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

import cnnext.functional
import cnnext.nn
from cnnext.ops.recurrent_layers import LSTM
from cnnext.testing.cases import VECTOR_SIZES, LSTMCase
from cnnext.testing.spec import Tensors
from cnnext.testing.specs._recurrent import layer_over_sequences

#: One short series and many, as of sensors; words; and words of a large vocabulary.
LSTMS = tuple(
    LSTMCase(f"lstm_b{batch}_t50_{hidden}", batch, 50, inputs, hidden)
    for batch, inputs, hidden in ((1, 1, 32), (1000, 1, 32), (32, 128, 128), (64, 512, 512))
)

EDGE_LSTMS = tuple(LSTMCase(f"edge_lstm_{size}", 3, 4, size + 2, size) for size in VECTOR_SIZES)


def _function_of(case: LSTMCase) -> Callable[[Any, Tensors], Tensors]:
    """The modules, called with weights of our own: `torch.lstm` is not a function of torch.nn."""
    ours, native = (lib.LSTM(case.input, case.hidden) for lib in (cnnext.nn, nn))

    def function(library: Any, operands: Tensors) -> Tensors:
        x, h, c, *weights = operands
        layer = ours if library is cnnext.functional else native
        layer._flat_weights = weights  # what both compute with
        output, (h_n, c_n) = layer(x, (h, c))
        return output, h_n, c_n

    return function


SPEC = layer_over_sequences(
    LSTM, {}, cases=LSTMS, edge_cases=EDGE_LSTMS, function_of=_function_of, weights=(3, 4)
)

"""rnn_relu_cell."""

from __future__ import annotations

from cnnext.ops.recurrent_cells import RNN_RELU_CELL
from cnnext.testing.specs._recurrent import one_state_cell

SPEC = one_state_cell(RNN_RELU_CELL, gates=1)

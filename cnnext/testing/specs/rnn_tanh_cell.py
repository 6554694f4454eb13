"""rnn_tanh_cell, with the module of both RNN cells."""

from __future__ import annotations

from cnnext.ops.recurrent_cells import RNN_TANH_CELL
from cnnext.testing.specs._recurrent import cell_module, one_state_cell

SPEC = one_state_cell(RNN_TANH_CELL, gates=1, **cell_module("RNNCell", nonlinearity="tanh"))

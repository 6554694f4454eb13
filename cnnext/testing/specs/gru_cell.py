"""gru_cell."""

from __future__ import annotations

from cnnext.ops.recurrent_cells import GRU_CELL
from cnnext.testing.specs._recurrent import cell_module, one_state_cell

SPEC = one_state_cell(GRU_CELL, gates=3, **cell_module("GRUCell"))

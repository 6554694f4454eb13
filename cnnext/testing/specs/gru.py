"""GRU."""

from __future__ import annotations

from cnnext.ops.recurrent_layers import GRU
from cnnext.testing.specs._recurrent import layer_over_sequences

SPEC = layer_over_sequences(GRU, {})

"""`torch.nn.functional`, with cnnext's functions in the place of those it has kernels for."""

from typing import TYPE_CHECKING

import torch.nn.functional

from cnnext.functional import *  # noqa: F403
from cnnext.functional import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from cnnext.runtime.mirror import fill as _fill

del gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell  # these are functions of torch itself

if TYPE_CHECKING:
    from torch.nn.functional import *  # type: ignore[assignment]  # noqa: F403
else:
    _fill(globals(), torch.nn.functional)

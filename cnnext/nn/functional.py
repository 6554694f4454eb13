"""`torch.nn.functional`, with cnnext's functions in the place of those it has kernels for."""

from typing import TYPE_CHECKING

import torch.nn.functional

from cnnext.functional import *  # noqa: F403
from cnnext.functional import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell, roi_pool
from cnnext.runtime.mirror import fill as _fill

# These are functions of torch itself and of torchvision.
del gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell, roi_pool

if TYPE_CHECKING:
    from torch.nn.functional import *  # type: ignore[assignment]  # noqa: F403
else:
    _fill(globals(), torch.nn.functional)

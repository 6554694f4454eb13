"""`torch.nn`, with cnnext's modules in the place of those it has kernels for.

`import cnnext.nn as nn` works wherever `import torch.nn as nn` does, and so do its submodules
(`import cnnext.nn.functional as F`) and `from cnnext.nn import *`. What is an instance of
`torch.nn.Linear` is one of `cnnext.nn.Linear`.
"""

from typing import TYPE_CHECKING

import torch.nn

from cnnext.nn import functional as functional
from cnnext.ops.adaptive_avg_pool2d import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from cnnext.ops.adaptive_max_pool2d import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from cnnext.ops.avg_pool2d import AvgPool2d as AvgPool2d
from cnnext.ops.conv2d import Conv2d as Conv2d
from cnnext.ops.linear import Linear as Linear
from cnnext.ops.lstm_cell import LSTMCell as LSTMCell
from cnnext.ops.max_pool2d import MaxPool2d as MaxPool2d
from cnnext.ops.recurrent_cells import GRUCell as GRUCell
from cnnext.ops.recurrent_cells import RNNCell as RNNCell
from cnnext.ops.recurrent_layers import GRU as GRU
from cnnext.ops.recurrent_layers import LSTM as LSTM
from cnnext.ops.recurrent_layers import RNN as RNN
from cnnext.ops.relu import ReLU as ReLU
from cnnext.ops.sequential import Sequential as Sequential
from cnnext.runtime.mirror import Mirror as _Mirror
from cnnext.runtime.mirror import fill as _fill
from cnnext.runtime.operator import OPERATORS as _OPERATORS

# What `cnnext.convert` swaps: each is a direct subclass of its namesake in torch.nn.
SWAPPED: tuple[type[torch.nn.Module], ...] = tuple(
    dict.fromkeys(op.module for op in _OPERATORS.values() if op.module is not None)
)

# Those with kernels of their own.
MODULES: tuple[type[torch.nn.Module], ...] = tuple(cls for cls in SWAPPED if cls is not Sequential)

if TYPE_CHECKING:  # where the first definition of a name counts
    from torch.nn import *  # type: ignore[assignment,no-redef]  # noqa: F403
else:
    _mirror = _Mirror({cls.__bases__[0]: cls for cls in SWAPPED})
    _mirror.install()
    _fill(globals(), torch.nn, _mirror.of)

"""`torch.nn`, with cnnext's modules in the place of those it has kernels for.

`import cnnext.nn as nn` works wherever `import torch.nn as nn` does; other names are torch.nn's.
"""

from typing import Any

import torch.nn

from cnnext.ops.adaptive_avg_pool2d import AdaptiveAvgPool2d
from cnnext.ops.adaptive_max_pool2d import AdaptiveMaxPool2d
from cnnext.ops.avg_pool2d import AvgPool2d
from cnnext.ops.conv2d import Conv2d
from cnnext.ops.linear import Linear
from cnnext.ops.lstm_cell import LSTMCell
from cnnext.ops.max_pool2d import MaxPool2d
from cnnext.ops.recurrent_cells import GRUCell, RNNCell
from cnnext.ops.recurrent_layers import GRU, LSTM, RNN
from cnnext.ops.relu import ReLU
from cnnext.ops.sequential import Sequential

# The layers with kernels: each is a direct subclass of its namesake in torch.nn.
MODULES: tuple[type[torch.nn.Module], ...] = (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    Conv2d,
    GRU,
    GRUCell,
    Linear,
    LSTM,
    LSTMCell,
    MaxPool2d,
    ReLU,
    RNN,
    RNNCell,
)

# What `cnnext.convert` swaps, likewise for their namesakes.
SWAPPED: tuple[type[torch.nn.Module], ...] = (*MODULES, Sequential)

__all__ = [
    "MODULES",
    "GRU",
    "LSTM",
    "RNN",
    "SWAPPED",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "Conv2d",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MaxPool2d",
    "RNNCell",
    "ReLU",
    "Sequential",
]


def __getattr__(name: str) -> Any:
    try:
        return getattr(torch.nn, name)
    except AttributeError:
        raise AttributeError(f"neither cnnext.nn nor torch.nn has an attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(torch.nn)})

"""The autograd Functions behind `cnnext.functional`."""

from cnnext.ops.conv2d import Conv2dFunction
from cnnext.ops.linear import LinearFunction
from cnnext.ops.lstm_cell import LSTMCellFunction
from cnnext.ops.max_pool2d import MaxPool2dFunction
from cnnext.ops.relu import ReLUFunction

__all__ = [
    "Conv2dFunction",
    "LSTMCellFunction",
    "LinearFunction",
    "MaxPool2dFunction",
    "ReLUFunction",
]

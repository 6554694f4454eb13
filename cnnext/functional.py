"""The functions of `torch.nn.functional` that cnnext has kernels for, with the same signatures."""

from cnnext.ops.conv2d import conv2d
from cnnext.ops.linear import linear
from cnnext.ops.lstm_cell import lstm_cell
from cnnext.ops.max_pool2d import max_pool2d
from cnnext.ops.relu import relu

__all__ = ["conv2d", "linear", "lstm_cell", "max_pool2d", "relu"]

"""The modules of `torch.nn` that cnnext has kernels for, and two that it has by name alone.

All are subclasses with the same arguments. `RoIPool` is torchvision's.
"""

from cnnext.ops.adaptive_avg_pool2d import AdaptiveAvgPool2d
from cnnext.ops.adaptive_max_pool1d import AdaptiveMaxPool1d
from cnnext.ops.adaptive_max_pool2d import AdaptiveMaxPool2d
from cnnext.ops.avg_pool1d import AvgPool1d
from cnnext.ops.avg_pool2d import AvgPool2d
from cnnext.ops.batch_norm import BatchNorm1d, BatchNorm2d
from cnnext.ops.conv1d import Conv1d
from cnnext.ops.conv2d import Conv2d
from cnnext.ops.conv3d import Conv3d
from cnnext.ops.conv_transpose2d import ConvTranspose2d
from cnnext.ops.dropout import Dropout
from cnnext.ops.leaky_relu import LeakyReLU
from cnnext.ops.linear import Linear
from cnnext.ops.lstm_cell import LSTMCell
from cnnext.ops.max_pool1d import MaxPool1d
from cnnext.ops.max_pool2d import MaxPool2d
from cnnext.ops.max_unpool2d import MaxUnpool2d
from cnnext.ops.recurrent_cells import GRUCell, RNNCell
from cnnext.ops.recurrent_layers import GRU, LSTM, RNN
from cnnext.ops.relu import ReLU
from cnnext.ops.roi_pool import RoIPool
from cnnext.ops.sequential import Sequential
from cnnext.ops.sigmoid import Sigmoid
from cnnext.ops.tanh import Tanh
from cnnext.ops.without_kernels import AdaptiveAvgPool1d, Softmax

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "Dropout",
    "GRUCell",
    "LSTMCell",
    "LeakyReLU",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "MaxUnpool2d",
    "RNNCell",
    "ReLU",
    "RoIPool",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
]

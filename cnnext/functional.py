"""The functions of `torch.nn.functional` that cnnext has kernels for, with the same signatures.

`roi_pool` is torchvision's.
"""

from cnnext.ops.adaptive_avg_pool2d import adaptive_avg_pool2d
from cnnext.ops.adaptive_max_pool1d import adaptive_max_pool1d
from cnnext.ops.adaptive_max_pool2d import adaptive_max_pool2d
from cnnext.ops.avg_pool1d import avg_pool1d
from cnnext.ops.avg_pool2d import avg_pool2d
from cnnext.ops.batch_norm import batch_norm
from cnnext.ops.conv1d import conv1d
from cnnext.ops.conv2d import conv2d
from cnnext.ops.conv3d import conv3d
from cnnext.ops.conv_transpose2d import conv_transpose2d
from cnnext.ops.dropout import dropout
from cnnext.ops.leaky_relu import leaky_relu
from cnnext.ops.linear import linear
from cnnext.ops.lstm_cell import lstm_cell
from cnnext.ops.max_pool1d import max_pool1d
from cnnext.ops.max_pool2d import max_pool2d
from cnnext.ops.max_unpool2d import max_unpool2d
from cnnext.ops.recurrent_cells import gru_cell, rnn_relu_cell, rnn_tanh_cell
from cnnext.ops.relu import relu
from cnnext.ops.roi_pool import roi_pool
from cnnext.ops.sigmoid import sigmoid
from cnnext.ops.tanh import tanh

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "dropout",
    "gru_cell",
    "leaky_relu",
    "linear",
    "lstm_cell",
    "max_pool1d",
    "max_pool2d",
    "max_unpool2d",
    "relu",
    "rnn_relu_cell",
    "rnn_tanh_cell",
    "roi_pool",
    "sigmoid",
    "tanh",
]

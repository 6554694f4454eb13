"""The autograd Functions behind `cnnext.functional`."""

from cnnext.ops.adaptive_avg_pool2d import AdaptiveAvgPool2dFunction
from cnnext.ops.adaptive_max_pool2d import AdaptiveMaxPool2dFunction
from cnnext.ops.avg_pool2d import AvgPool2dFunction
from cnnext.ops.batch_norm import BatchNormFunction
from cnnext.ops.conv2d import Conv2dFunction
from cnnext.ops.conv3d import Conv3dFunction
from cnnext.ops.conv_transpose2d import ConvTranspose2dFunction
from cnnext.ops.dropout import DropoutFunction
from cnnext.ops.leaky_relu import LeakyReLUFunction
from cnnext.ops.linear import LinearFunction
from cnnext.ops.lstm_cell import LSTMCellFunction
from cnnext.ops.max_pool2d import MaxPool2dFunction
from cnnext.ops.max_unpool2d import MaxUnpool2dFunction
from cnnext.ops.recurrence import RecurrenceFunction
from cnnext.ops.relu import ReLUFunction
from cnnext.ops.roi_pool import RoIPoolFunction
from cnnext.ops.sigmoid import SigmoidFunction
from cnnext.ops.tanh import TanhFunction

__all__ = [
    "AdaptiveAvgPool2dFunction",
    "AdaptiveMaxPool2dFunction",
    "AvgPool2dFunction",
    "BatchNormFunction",
    "Conv2dFunction",
    "Conv3dFunction",
    "ConvTranspose2dFunction",
    "DropoutFunction",
    "LSTMCellFunction",
    "LeakyReLUFunction",
    "LinearFunction",
    "MaxPool2dFunction",
    "MaxUnpool2dFunction",
    "ReLUFunction",
    "RecurrenceFunction",
    "RoIPoolFunction",
    "SigmoidFunction",
    "TanhFunction",
]

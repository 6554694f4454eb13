"""`torch.nn.functional`, with cnnext's functions in the place of those it has kernels for."""

from typing import TYPE_CHECKING

import torch.nn.functional

from cnnext.functional import adaptive_avg_pool2d as adaptive_avg_pool2d
from cnnext.functional import adaptive_max_pool2d as adaptive_max_pool2d
from cnnext.functional import avg_pool2d as avg_pool2d
from cnnext.functional import conv2d as conv2d
from cnnext.functional import linear as linear
from cnnext.functional import max_pool2d as max_pool2d
from cnnext.functional import relu as relu
from cnnext.runtime.mirror import fill as _fill

if TYPE_CHECKING:
    from torch.nn.functional import *  # type: ignore[assignment]  # noqa: F403
else:
    _fill(globals(), torch.nn.functional)

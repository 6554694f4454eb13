"""Modules that cnnext has the names of and no kernels for: native PyTorch computes them.

They are here so that code written for `cnnext` finds them, and say why there is nothing to gain.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Final

import torch
from torch.nn import Module

from cnnext.ops.common.drop_in import NativeLayer


@NativeLayer(torch.nn.Softmax).drop_in
class Softmax(torch.nn.Softmax, metaclass=ABCMeta):
    """`torch.nn.Softmax`, by native PyTorch; plans of `cnnext.optimize` have a kernel of it.

    That kernel is for pixels whose channels are adjacent: faster than native's along the last
    dimension of small tensors, and slower along the channels of NCHW images.
    """


@NativeLayer(torch.nn.AdaptiveAvgPool1d).drop_in
class AdaptiveAvgPool1d(torch.nn.AdaptiveAvgPool1d, metaclass=ABCMeta):
    """`torch.nn.AdaptiveAvgPool1d`, by native PyTorch, whose means of rows are faster."""


#: Why native PyTorch computes each.
WITHOUT_KERNELS: Final[dict[type[Module], str]] = {
    Softmax: "no kernel of cnnext's is faster in general",
    AdaptiveAvgPool1d: "native's means of rows are faster",
}

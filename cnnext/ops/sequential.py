"""`torch.nn.Sequential` that runs rows of its layers as one function (`cnnext.ops.fused`)."""

from __future__ import annotations

from abc import ABCMeta
from typing import no_type_check

import torch

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.fused.layers import OUR_SEQUENTIALS
from cnnext.ops.fused.rows import call_in_rows
from cnnext.runtime.fallback import is_scripting
from cnnext.runtime.operator import Operator, declare

_native = NativeLayer(torch.nn.Sequential)


@_native.drop_in
class Sequential(torch.nn.Sequential, metaclass=ABCMeta):
    """`torch.nn.Sequential`: same children, keys, slices and results.

    Rows of cnnext's layers run as one function, which moves less memory and keeps less of it for
    the backward pass: Conv2d, ReLU and MaxPool2d with gradients; BatchNorm2d and ReLU or ReLU6,
    with gradients the next Conv2d as well. Not where one of them has hooks.
    """

    # TorchScript wants the type of the result, or none, and it is whatever the last module returns.
    @no_type_check
    def forward(self, input):
        if is_scripting():
            for module in self:
                input = module(input)
            return input
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return call_in_rows(self, input)


OUR_SEQUENTIALS.append(Sequential.forward)
SEQUENTIAL = declare(Operator("Sequential", module=Sequential))

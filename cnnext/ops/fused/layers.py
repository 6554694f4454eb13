"""Which layers may run in a row: plain ones of ours, that nobody watches or has changed."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.nn import Module
from torch.nn.functional import relu as native_relu
from torch.nn.functional import relu6 as native_relu6
from torch.nn.functional import relu_ as native_relu_
from torch.nn.modules.module import _has_any_global_hook

from cnnext.ops.batch_norm import BatchNorm2d, Bounds
from cnnext.ops.common.drop_in import NATIVE_LAYERS, NativeLayer
from cnnext.ops.conv2d import Conv2d
from cnnext.ops.max_pool2d import MaxPool2d
from cnnext.ops.relu import ReLU
from cnnext.runtime.import_hooks import when_imported

Activation = Any  # a module or a function; None for none

#: What activations bound their input by; native ReLU6 has no namesake of ours.
_BOUNDS: Final[dict[Any, Bounds]] = {
    ReLU: Bounds(0.0),
    torch.nn.ReLU6: Bounds(0.0, 6.0),
}
_BOUNDS_OF_FUNCTIONS: Final[dict[Any, Bounds]] = {
    **dict.fromkeys((native_relu, native_relu_, torch.relu, torch.relu_), Bounds(0.0)),
    native_relu6: Bounds(0.0, 6.0),
}
_NO_BOUNDS: Final = Bounds()

_OURS: Final = (Conv2d, BatchNorm2d, ReLU, MaxPool2d)


def is_activation(called: Any) -> bool:
    """Whether it is a module or a function that bounds its input."""
    if isinstance(called, Module):
        return type(called) in _BOUNDS
    return called in _BOUNDS_OF_FUNCTIONS


def bounds_of(activation: Activation) -> Bounds | None:
    """What it bounds its input by; None if it is watched."""
    if activation is None:
        return _NO_BOUNDS
    if isinstance(activation, Module):
        return None if is_watched(activation) else _BOUNDS[type(activation)]
    return _BOUNDS_OF_FUNCTIONS[activation]


def is_chain(module: Module) -> bool:
    """Whether it calls its children one after the other, whatever its class is called."""
    kind = type(module)
    return (
        isinstance(module, torch.nn.Sequential)
        and kind.forward in (NATIVE_SEQUENTIAL, *OUR_SEQUENTIALS)
        and kind.__call__ is Module.__call__
    )


#: What a chain's `forward` is; cnnext.ops.sequential adds its own.
NATIVE_SEQUENTIAL: Final = torch.nn.Sequential.forward
OUR_SEQUENTIALS: Final[list[Any]] = []


def is_watched(module: Any) -> bool:
    """Whether somebody wants to see what goes into this module or comes out, or replaced it."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in vars(module)
        or "_conv_forward" in vars(module)
    )


def _methods() -> tuple[Any, ...]:
    """What lies on the way from a call of such modules to our code."""
    methods: list[Any] = [Module._call_impl, torch.nn.ReLU6.__call__, torch.nn.ReLU6.forward]
    for cls in _OURS:
        methods += (cls.__call__, cls.forward, NATIVE_LAYERS[cls].cls.forward)
    methods += (Conv2d._conv_forward, NATIVE_LAYERS[Conv2d].cls._conv_forward)
    methods.append(BatchNorm2d._check_input_dim)
    return tuple(methods)


_replaced_before_us = NativeLayer(Module, "__call__").is_replaced() or any(
    NATIVE_LAYERS[cls].is_replaced() for cls in _OURS
)
# If somebody patched one of the methods that a row goes around, it has to be called.
_METHODS = None if _replaced_before_us else _methods()


def rows_are_open() -> bool:
    """Whether any layers may run in a row now: in graphs for training, in none for inference."""
    if torch.compiler.is_compiling() and not _is_graph_for_training():
        return False
    return _nobody_watches()


def _is_graph_for_training() -> bool:
    return torch.is_grad_enabled() and not torch.compiler.is_exporting()


def _nobody_watches() -> bool:
    return not (_has_any_global_hook() or _methods() != _METHODS)


# Compilers call it, and do not follow it.
when_imported("torch._dynamo", lambda dynamo: dynamo.assume_constant_result(_nobody_watches))

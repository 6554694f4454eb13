"""Blocks of other libraries whose `forward` runs in rows of layers once `convert` has swapped them.

A block's class is known by its name alone; what its `forward` does is read off at the first call
(`cnnext.ops.fused.blocks`), so that another release may write it in another way. Of the classes in
the list `forward` computes from tensors, layers and constant attributes, and has no other effect.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from typing import Any, Final

from torch.nn import Module

from cnnext.ops.fused.blocks import call_in_rows

#: By the module that defines them.
_BLOCKS: Final[dict[str, tuple[str, ...]]] = {
    "torchvision.models.resnet": ("BasicBlock", "Bottleneck", "ResNet"),
    "torchvision.models.densenet": ("_DenseBlock", "_DenseLayer", "DenseNet"),
    "torchvision.models.googlenet": ("Inception", "BasicConv2d"),
    "torchvision.models.inception": (
        "BasicConv2d",
        *("InceptionA", "InceptionB", "InceptionC", "InceptionD", "InceptionE"),
    ),
    "torchvision.models.mobilenetv2": ("InvertedResidual",),
    "torchvision.models.mobilenetv3": ("InvertedResidual",),
    "timm.models.resnet": ("BasicBlock", "Bottleneck"),
    "transformers.models.resnet.modeling_resnet": (
        *("ResNetConvLayer", "ResNetShortCut", "ResNetBasicLayer", "ResNetBottleNeckLayer"),
    ),
}

#: Ours by the blocks' classes.
_counterparts: dict[type[Module], type[Module]] = {}


def counterpart_of(cls: type[Module]) -> type[Module] | None:
    """Our subclass of a block's class, None if it is none."""
    if cls in _counterparts:
        return _counterparts[cls]
    if cls.__name__ not in _BLOCKS.get(cls.__module__, ()):
        return None
    if getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls:
        return None  # another class of that name
    return _counterparts.setdefault(cls, _make_counterpart(cls))


def is_counterpart(cls: type[Module]) -> bool:
    return _counterparts.get(cls.__bases__[0]) is cls


def _make_counterpart(native: Any) -> type[Module]:
    defined = native.forward

    @functools.wraps(defined)
    def forward(self: Module, *inputs: Any, **options: Any) -> Any:
        if native.forward is not defined or options:
            return native.forward(self, *inputs, **options)
        return call_in_rows(defined, self, inputs)

    forward.in_rows = defined  # type: ignore[attr-defined]
    return type(
        native.__name__,
        (native,),
        {
            "__doc__": native.__doc__,
            "__module__": __name__,
            "__qualname__": f"{native.__module__}:{native.__name__}".replace(".", "/"),
            "forward": forward,
            "__prepare_scriptable__": _native_copy,
        },
    )


def _native_copy(self: Module) -> Module:
    """What TorchScript compiles."""
    its_copy: Module = self.__class__.__new__(self.__class__.__bases__[0])
    vars(its_copy).update(vars(self))
    return its_copy


def __getattr__(name: str) -> Any:
    """A counterpart by its qualified name: pickles ask for it."""
    module, _, cls = name.replace("/", ".").partition(":")
    if cls and cls in _BLOCKS.get(module, ()):
        counterpart = counterpart_of(getattr(import_module(module), cls))
        if counterpart is not None:
            return counterpart
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

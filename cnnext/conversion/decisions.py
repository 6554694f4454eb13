"""What becomes of each module of a model, and why: what `convert` acts on and `report` prints."""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch.nn import Module
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from cnnext import nn
from cnnext.conversion.blocks import counterpart_of, is_counterpart
from cnnext.ops.common.drop_in import NATIVE_LAYERS
from cnnext.ops.without_kernels import WITHOUT_KERNELS

Status = Literal["cnnext", "native", "kept"]

_CNNEXT_FOR_NATIVE: Final = {cls.__bases__[0]: cls for cls in nn.SWAPPED}


@dataclass(frozen=True)
class Decision:
    """What becomes of a layer.

    Attributes:
        status: ``"cnnext"`` for a layer that cnnext computes; ``"native"`` for one that ``convert``
            swaps; ``"kept"`` for one that it leaves alone.
        reason: why that is so.
        counterpart: the class that it is swapped for, by ``restore`` if that is one of its bases;
            ``None`` if nothing swaps it.
    """

    status: Status
    reason: str
    counterpart: type[Module] | None = None


def decide(module: Module) -> Decision | None:
    """Returns what becomes of a module, ``None`` if it is not a layer that cnnext knows."""
    cls = type(module)
    if (block := _decide_block(module)) is not None:
        return block
    if cls in WITHOUT_KERNELS:
        reason = f"native PyTorch computes it: {WITHOUT_KERNELS[cls]}"
        return Decision("kept", reason, cls.__bases__[0])
    native = next((base for base in cls.__mro__ if base in _CNNEXT_FOR_NATIVE), None)
    if native is None:
        return _decide_by_name(module)
    ours = _CNNEXT_FOR_NATIVE[native]
    if native is torch.nn.Sequential and cls not in (native, ours):
        return None  # a container by any other name is judged by what it holds
    if "forward" in vars(module):  # so that its class has no say
        return Decision("kept", "forward is replaced on the instance")
    replaced = ", ".join(NATIVE_LAYERS[ours].replaced())
    if cls is ours:
        runs = "runs cnnext's kernels"
        if cls is nn.Sequential:
            runs = "runs layers in a row as one function"
        return Decision("cnnext", replaced or runs, native)
    if cls is native:
        made = f"convert makes it a {class_name(ours)}"
        return Decision("native", f"{made}, but {replaced}" if replaced else made, ours)
    if parametrize.is_parametrized(module):
        names = (name for name, _ in module.get_submodule("parametrizations").named_children())
        return Decision("kept", f"parametrized: {', '.join(names)}")
    if isinstance(module, LazyModuleMixin):
        return Decision("kept", "lazy: becomes a torch.nn layer at its first call")
    return Decision("kept", f"subclass of {class_name(cls.__bases__[0])}")


def _decide_block(module: Module) -> Decision | None:
    """The decision on a block of another library, None if the module is none that is known."""
    cls = type(module)
    if is_counterpart(cls):
        return Decision("cnnext", "runs layers in a row as one function", cls.__bases__[0])
    counterpart = counterpart_of(cls)
    if counterpart is None:
        return None
    if "forward" in vars(module):
        return Decision("kept", "forward is replaced on the instance")
    return Decision("native", "convert runs layers in a row as one function", counterpart)


def _decide_by_name(module: Module) -> Decision | None:
    """The decision on a module that is not a layer of torch.nn, but may have the name of one."""
    compiled = isinstance(module, torch.jit.ScriptModule)
    name = module.original_name if compiled else type(module).__name__
    for native in _CNNEXT_FOR_NATIVE:
        if native.__name__ == name and compiled:
            return Decision("kept", f"a {class_name(native)} compiled by TorchScript")
        if native.__name__ == name:
            reason = f"has the name of {class_name(native)} but is not a subclass of it"
            return Decision("kept", reason)
    return None


def class_name(cls: type[Module]) -> str:
    for namespace in (torch.nn, nn):
        if vars(namespace).get(cls.__name__) is cls:
            return f"{namespace.__name__}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"

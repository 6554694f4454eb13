"""Swaps the layers of a model for cnnext's and back, and reports what it can and cannot swap.

A cnnext module is a direct subclass of its ``torch.nn`` namesake with the same attributes, so a
layer is swapped by assigning its ``__class__``. The module stays the same object: its parameters,
buffers, hooks, flags, its place in the model and whatever else refers to it are untouched.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import torch
from torch.nn import Module
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from cnnext import functional, nn
from cnnext.conversion.source_calls import Call, find_calls
from cnnext.conversion.structural_copy import copy_structure
from cnnext.ops.common.drop_in import NATIVE_LAYERS

__all__ = ["ConversionReport", "FunctionalCall", "Layer", "convert", "report", "restore"]

_Model = TypeVar("_Model", bound=Module)
Status = Literal["cnnext", "native", "kept"]
_Classes = Mapping[type[Module], type[Module]]

_CNNEXT_FOR_NATIVE: Final[_Classes] = {cls.__bases__[0]: cls for cls in nn.SWAPPED}
_NATIVE_FOR_CNNEXT: Final[_Classes] = {cls: cls.__bases__[0] for cls in nn.SWAPPED}


def convert(model: _Model, *, inplace: bool = False) -> _Model:
    """Swaps every supported ``torch.nn`` layer of ``model`` for its cnnext counterpart.

    ``torch.nn.Sequential`` is swapped, too: cnnext's trains runs of its layers as one function.
    Only layers of exactly a ``torch.nn`` type are swapped: a subclass may compute anything, so
    subclasses, parametrized and lazy layers are left alone, and so are layers whose ``forward``
    is replaced on the instance. :func:`report` names them, and the functional calls, which
    cannot be swapped. Converting twice changes nothing more.

    Args:
        model: any module; a supported layer itself will do.
        inplace: swap in ``model`` itself instead of in a copy.

    Returns:
        ``model`` if ``inplace``, else a copy of its module tree. The copy shares every parameter
        and buffer, so training the one trains the other, and calls the same hooks; otherwise it
        is as ``copy.deepcopy`` makes it. ScriptModules, and attributes and submodules that cannot
        be copied, are shared as well; what is shared is not swapped.

    Raises:
        TypeError: if ``model`` is not a ``torch.nn.Module``.
    """
    return _swap("convert", model, _CNNEXT_FOR_NATIVE, inplace)


def restore(model: _Model, *, inplace: bool = False) -> _Model:
    """Swaps every cnnext layer of ``model`` for its ``torch.nn`` counterpart.

    This is the inverse of :func:`convert`; layers that were built as cnnext modules become
    ``torch.nn`` modules too. Subclasses of cnnext's modules, and layers whose ``forward`` is
    replaced on the instance, are left alone.

    Args:
        model: any module; a cnnext layer itself will do.
        inplace: swap in ``model`` itself instead of in a copy.

    Returns:
        ``model`` if ``inplace``, else a copy of its module tree as :func:`convert` makes it.

    Raises:
        TypeError: if ``model`` is not a ``torch.nn.Module``.
    """
    return _swap("restore", model, _NATIVE_FOR_CNNEXT, inplace)


def _swap(caller: str, model: _Model, classes: _Classes, inplace: bool) -> _Model:
    _check_model(caller, model)
    originals: set[Module] = set()
    if not inplace:
        originals.update(model.modules())
        model = copy_structure(model)
    for module in model.modules():
        if module in originals:  # a submodule that cannot or will not be copied
            continue
        if type(module) in classes and not _has_own_forward(module):
            module.__class__ = classes[type(module)]
    return model


def _check_model(caller: str, model: object) -> None:
    if not isinstance(model, Module):
        raise TypeError(
            f"{caller}(): argument 'model' must be a torch.nn.Module, "
            f"but got {model!r} of type {type(model).__name__}"
        )


def _has_own_forward(module: Module) -> bool:
    """Tells whether ``forward`` was assigned on the instance, so that its class has no say."""
    return "forward" in vars(module)


@dataclass(frozen=True)
class Layer:
    """A layer that cnnext has a counterpart of, or one that looks like it.

    Attributes:
        name: qualified name of the module, ``""`` for the model itself.
        type: its class.
        status: ``"cnnext"`` for a cnnext layer, ``"native"`` for one that :func:`convert` swaps,
            ``"kept"`` for one that it leaves alone.
        reason: why that is so.
        aliases: further names, where the model holds the module more than once.
    """

    name: str
    type: str
    status: Status
    reason: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionalCall:
    """A call in a ``forward`` of a function that cnnext has a layer for.

    Attributes:
        call: what is called, and where.
        modules: qualified names of the modules that make the call.
    """

    call: Call
    modules: tuple[str, ...]


@dataclass(frozen=True)
class ConversionReport:
    """What :func:`convert` did, will do and cannot do to a model; ``str(report)`` is a table.

    Attributes:
        layers: the layers that cnnext has a counterpart of, or that look like it.
        functional_calls: calls which :func:`convert` cannot swap.
        unread: classes whose ``forward`` has no source in which to look for functional calls.
        unsupported: ``torch.nn`` layers without a counterpart in cnnext, and how many of each.
    """

    layers: tuple[Layer, ...]
    functional_calls: tuple[FunctionalCall, ...]
    unread: tuple[str, ...]
    unsupported: Mapping[str, int]

    def __str__(self) -> str:
        return "\n\n".join(self._sections())

    def _sections(self) -> Iterator[str]:
        if self.layers:
            yield _format_table(
                ("layer", "type", "status", "reason"),
                [
                    (" = ".join(map(_title, (x.name, *x.aliases))), x.type, x.status, x.reason)
                    for x in self.layers
                ],
            )
        if self.functional_calls:
            yield _format_table(
                ("functional call (not swapped)", "at", "in"),
                [
                    (x.call.text, x.call.location, _list_titles(x.modules))
                    for x in self.functional_calls
                ],
            )
        if self.unread:
            yield f"Source not available, functional calls unknown: {', '.join(self.unread)}"
        if self.unsupported:
            names = (f"{name} ({count})" for name, count in self.unsupported.items())
            yield f"No cnnext counterpart: {', '.join(names)}"
        counts = Counter(layer.status for layer in self.layers)
        yield (
            f"{counts['cnnext']} cnnext, {counts['native']} native, {counts['kept']} kept, "
            f"functional calls: {len(self.functional_calls)}"
        )


def report(model: Module) -> ConversionReport:
    """Reports layer by layer what :func:`convert` did, will do and cannot do to ``model``.

    Functional calls are found by reading the source of the ``forward`` of each class, without
    running the model.

    Raises:
        TypeError: if ``model`` is not a ``torch.nn.Module``.
    """
    _check_model("report", model)
    names: dict[Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)

    layers: list[Layer] = []
    callers: dict[Call, list[str]] = {}
    unread: list[str] = []
    unsupported: Counter[str] = Counter()
    for module, (name, *aliases) in names.items():
        class_name = _class_name(type(module))
        if verdict := _judge(module):
            layers.append(Layer(name, class_name, *verdict, tuple(aliases)))
        elif class_name.startswith("torch.nn.") and next(module.children(), None) is None:
            unsupported[class_name] += 1
        if isinstance(module, torch.jit.ScriptModule):
            continue  # compiled: no Python source
        try:
            for call in find_calls(module, _FUNCTIONS, _TENSOR_METHODS):
                callers.setdefault(call, []).append(name)
        except OSError:
            unread.append(class_name)
    return ConversionReport(
        layers=tuple(layers),
        functional_calls=tuple(FunctionalCall(call, tuple(at)) for call, at in callers.items()),
        unread=tuple(dict.fromkeys(unread)),
        unsupported=dict(unsupported),
    )


_FUNCTION_NAMES: Final = tuple(f"{op}{suffix}" for op in functional.__all__ for suffix in ("", "_"))
_FUNCTIONS: Final = {
    getattr(namespace, name): name
    for namespace in (torch, torch.nn.functional, torch.Tensor)
    for name in _FUNCTION_NAMES
    if hasattr(namespace, name)
}
_TENSOR_METHODS: Final = frozenset(name for name in _FUNCTION_NAMES if hasattr(torch.Tensor, name))


def _judge(module: Module) -> tuple[Status, str] | None:
    """Returns the status of a layer and the reason for it, ``None`` if it is of no interest."""
    cls = type(module)
    native = next((base for base in cls.__mro__ if base in _CNNEXT_FOR_NATIVE), None)
    if native is torch.nn.Sequential and cls not in (native, nn.Sequential):
        return None  # a container by any other name is judged by what it holds
    if native is None:
        name = module.original_name if isinstance(module, torch.jit.ScriptModule) else cls.__name__
        namesake = next((base for base in _CNNEXT_FOR_NATIVE if base.__name__ == name), None)
        if namesake is None:
            return None
        if isinstance(module, torch.jit.ScriptModule):
            return "kept", f"a {_class_name(namesake)} compiled by TorchScript"
        return "kept", f"has the name of {_class_name(namesake)} but is no subclass of it"
    if _has_own_forward(module):
        return "kept", "forward is replaced on the instance"
    replaced = ", ".join(NATIVE_LAYERS[_CNNEXT_FOR_NATIVE[native]].replaced())
    if replaced and cls in _NATIVE_FOR_CNNEXT:
        return "cnnext", replaced
    if cls is nn.Sequential:
        return "cnnext", "trains Conv2d, ReLU and MaxPool2d in a row as one function"
    if cls in _NATIVE_FOR_CNNEXT:
        return "cnnext", "runs cnnext's kernels"
    if cls in _CNNEXT_FOR_NATIVE:
        made = f"convert makes it a {_class_name(_CNNEXT_FOR_NATIVE[cls])}"
        return "native", f"{made}, but {replaced}" if replaced else made
    if parametrize.is_parametrized(module):
        names = (name for name, _ in module.get_submodule("parametrizations").named_children())
        return "kept", f"parametrized: {', '.join(names)}"
    if isinstance(module, LazyModuleMixin):
        return "kept", "lazy: becomes a torch.nn layer at its first call"
    return "kept", f"subclass of {_class_name(cls.__bases__[0])}"


def _class_name(cls: type[Module]) -> str:
    for namespace in (torch.nn, nn):
        if vars(namespace).get(cls.__name__) is cls:
            return f"{namespace.__name__}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _title(name: str) -> str:
    return name or "(model)"


def _list_titles(names: Sequence[str], limit: int = 3) -> str:
    rest = len(names) - limit
    return ", ".join(map(_title, names[:limit])) + (f" and {rest} more" if rest > 0 else "")


def _format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )

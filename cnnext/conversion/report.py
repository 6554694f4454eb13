"""Reports what `convert` did, will do and cannot do to a model."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import Module

from cnnext import functional
from cnnext.conversion.decisions import Status, class_name, decide
from cnnext.conversion.source_calls import Call, find_calls


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
        unsupported: ``torch.nn`` layers that cnnext has no kernels for, and how many of each.
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
            yield f"Native PyTorch computes: {', '.join(names)}"
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
    check_model("report", model)
    names: dict[Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)

    layers: list[Layer] = []
    callers: dict[Call, list[str]] = {}
    unread: list[str] = []
    unsupported: Counter[str] = Counter()
    for module, (name, *aliases) in names.items():
        name_of_class = class_name(type(module))
        if decision := decide(module):
            status, reason = decision.status, decision.reason
            layers.append(Layer(name, name_of_class, status, reason, tuple(aliases)))
        elif name_of_class.startswith("torch.nn.") and next(module.children(), None) is None:
            unsupported[name_of_class] += 1
        if isinstance(module, torch.jit.ScriptModule):
            continue  # compiled: no Python source
        try:
            for call in find_calls(module, _FUNCTIONS, _TENSOR_METHODS):
                callers.setdefault(call, []).append(name)
        except OSError:
            unread.append(name_of_class)
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


def check_model(caller: str, model: object) -> None:
    if not isinstance(model, Module):
        raise TypeError(
            f"{caller}(): argument 'model' must be a torch.nn.Module, "
            f"but got {model!r} of type {type(model).__name__}"
        )


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

"""Layers that stay calls, as those of cnnext that `convert` would make of them."""

from __future__ import annotations

from torch.nn import Module

from cnnext.conversion.decisions import class_name, decide
from cnnext.optimization.layers import is_layer, watched


def counterpart(layer: Module) -> Module | None:
    """The same layer by another class: cnnext's, if there is one that `convert` would take.

    The two have one `__dict__`, so that whatever becomes of one, of its tensors, mode or hooks,
    becomes of the other.
    """
    if not is_layer(layer) or watched(layer) is not None:
        return None
    decision = decide(layer)
    if decision is None or decision.status != "native":
        return None
    assert decision.counterpart is not None
    ours: Module = object.__new__(decision.counterpart)
    object.__setattr__(ours, "__dict__", vars(layer))
    return ours


def runs_as(ours: Module) -> str:
    """What a report says of it."""
    return f"runs as {class_name(type(ours))}"

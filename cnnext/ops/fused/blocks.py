"""Modules whose `forward` runs in rows: it is recorded at the first call, and then run so."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.ops.fused.layers import rows_are_open
from cnnext.ops.fused.program import Program
from cnnext.ops.fused.recording import NotRecordable, record


class _Known(NamedTuple):
    """What was found of a `forward` with so many inputs; no program where it has none."""

    forward: Callable[..., Any]
    inputs: int
    program: Program | None


_known: dict[int, _Known] = {}  # by the module's id: not every module can be hashed


def call_in_rows(forward: Callable[..., Any], module: Module, inputs: tuple[Any, ...]) -> Any:
    """forward(module, *inputs), in rows where all of the inputs are tensors.

    Args:
        forward: a function of the module's class.
        module: the module.
        inputs: what it is given.
    """
    if not inputs or any(type(x) is not Tensor for x in inputs) or not rows_are_open():
        return forward(module, *inputs)
    find = _new_program if torch.compiler.is_compiling() else _known_program
    program = find(forward, module, len(inputs))
    if program is None or program.is_watched():
        return forward(module, *inputs)
    return program(*inputs)


def _known_program(forward: Callable[..., Any], module: Module, inputs: int) -> Program | None:
    known = _known.get(id(module))
    if known is not None and known.forward is forward and known.inputs == inputs:
        if known.program is None or known.program.still_holds():
            return known.program
    elif known is None:
        weakref.finalize(module, _known.pop, id(module), None).atexit = False
    program = _new_program(forward, module, inputs)
    _known[id(module)] = _Known(forward, inputs, program)
    return program


def _new_program(forward: Callable[..., Any], module: Module, inputs: int) -> Program | None:
    try:
        return Program(record(forward, module, inputs))
    except NotRecordable:
        return None


def in_rows(forward: Callable[..., Tensor]) -> Any:
    """Decorates the `forward` of a module. Calls with tensors alone run in rows."""
    call = call_in_rows

    def run(self: Module, *inputs: Any, **options: Any) -> Any:
        if options:
            return forward(self, *inputs, **options)
        return call(forward, self, inputs)

    # TorchScript compiles the text of `forward`, by the names that this function sees.
    scope = cast(FunctionType, forward).__globals__
    decorated = FunctionType(run.__code__, scope, forward.__name__, None, run.__closure__)
    functools.update_wrapper(decorated, forward)
    decorated.in_rows = forward  # type: ignore[attr-defined]
    return decorated

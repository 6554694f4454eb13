"""Records what a module's `forward` calls, without a change to any class: other threads may be in
the midst of the same model.

`forward` runs on a stand-in for its module, which gives out the module's attributes, but recorders
in the place of its children, and on values that stand for tensors. These can be added, multiplied
and given to functions of torch. A `forward` that asks for more is not recorded.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_leaves

from cnnext.ops.fused.layers import is_chain


class NotRecordable(Exception):
    """What `forward` does depends on more than is recorded."""


def weak(value: Any) -> Any:
    """A reference that keeps no module or tensor alive; all else stays as it is."""
    return weakref.ref(value) if isinstance(value, Module | Tensor) else value


def strong(reference: Any) -> Any:
    """What `weak` was given."""
    return reference() if isinstance(reference, weakref.ref) else reference


class Step(NamedTuple):
    """A call: of a module, or of a function.

    Attributes:
        reference: to what is called, weak if that is a module.
        arguments, options: numbers and the like, and `Value`s, also in lists.
        result: what it returned.
    """

    reference: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Value

    @property
    def target(self) -> Any:
        return strong(self.reference)


class Read(NamedTuple):
    """An attribute that decided what was recorded: of which module or class, its name and value."""

    owner: Any
    name: str
    value: Any

    def still_holds(self) -> bool:
        return getattr(self.owner(), self.name, None) is strong(self.value)

    @classmethod
    def of(cls, owner: Any, name: str, value: Any) -> Read:
        return cls(weakref.ref(owner), name, weak(value))


class Recording:
    """What a `forward` did.

    Attributes:
        inputs: what it was given.
        steps: in their order.
        output: what it returned.
        reads: the attributes that it looked at.
        passed_through: weak references to the modules whose own `forward` was gone through.
    """

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.steps: list[Step] = []
        self.output: Any = None
        self.reads: list[Read] = []
        self.passed_through: list[weakref.ref[Module]] = []

    def call(self, target: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Value:
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves((arguments, options))):
            raise NotRecordable("it uses a tensor of its own")
        result = Value(self)
        self.steps.append(Step(weak(target), _as_now(tuple(arguments)), _as_now(options), result))
        return result


class Value:
    """A tensor of the recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __add__(self, other: Any) -> Value:
        return self._recording.call(torch.add, (self, other), {})

    def __radd__(self, other: Any) -> Value:
        return self._recording.call(torch.add, (other, self), {})

    def __iadd__(self, other: Any) -> Value:
        return self._recording.call(Tensor.add_, (self, other), {})

    def __mul__(self, other: Any) -> Value:
        return self._recording.call(torch.mul, (self, other), {})

    def __rmul__(self, other: Any) -> Value:
        return self._recording.call(torch.mul, (other, self), {})

    def __bool__(self) -> bool:
        raise NotRecordable("it asks for a value")

    def __iter__(self) -> Any:
        raise NotRecordable("it iterates over a tensor")

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"it uses tensor.{name}")

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Value:
        for value in values_in((args, kwargs)):
            return value._recording.call(function, args, dict(kwargs or {}))
        raise NotRecordable("no operand was recorded")


def _as_now(arguments: Any) -> Any:
    """The nest of arguments with lists of its own, whatever becomes of those that were given."""
    if isinstance(arguments, dict):
        return {key: _as_now(value) for key, value in arguments.items()}
    if isinstance(arguments, tuple | list):
        return type(arguments)(map(_as_now, arguments))
    return arguments


def values_in(arguments: Any) -> list[Value]:
    """The values in a nest of tuples, lists and dictionaries."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, tuple | list):
        return [value for argument in arguments for value in values_in(argument)]
    return []


class _StandIn:
    """What `forward` takes for its module."""

    def __init__(self, module: Module, recording: Recording) -> None:
        self.__dict__["_of"] = (module, recording)

    def __getattr__(self, name: str) -> Any:
        module, recording = self.__dict__["_of"]
        if name == "_modules":
            return {key: _Child(child, recording) for key, child in module._modules.items()}
        of_class = getattr(type(module), name, None)
        if name not in vars(module) and isinstance(of_class, types.FunctionType):
            return functools.partial(of_class, self)
        value = getattr(module, name)
        recording.reads.append(Read.of(module, name, value))
        return _Child(value, recording) if isinstance(value, Module) else value

    def __setattr__(self, name: str, value: Any) -> None:
        raise NotRecordable(f"it sets self.{name}")


class _Child:
    """What it takes for a child of that."""

    def __init__(self, module: Module, recording: Recording) -> None:
        self._of = (module, recording)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        module, recording = self._of
        if _is_transparent(module):
            return _pass_through(module, recording, arguments, options)
        return recording.call(module, arguments, options)

    def __iter__(self) -> Any:
        module, recording = self._of
        if not isinstance(module, torch.nn.Sequential | torch.nn.ModuleList):
            raise NotRecordable(f"it iterates over {type(module).__name__}")
        recording.passed_through.append(weakref.ref(module))
        return iter([_Child(child, recording) for child in module])

    def __getattr__(self, name: str) -> Any:
        raise NotRecordable(f"it uses an attribute {name} of a module in it")


def _is_transparent(module: Module) -> bool:
    """Whether it is gone through: what runs in rows by itself, and what only calls its children."""
    forward: Any = type(module).forward
    return is_chain(module) or type(module) is torch.nn.Identity or hasattr(forward, "in_rows")


def _pass_through(module: Module, recording: Recording, arguments: Any, options: Any) -> Any:
    recording.passed_through.append(weakref.ref(module))
    forward: Any = type(module).forward
    if not hasattr(forward, "in_rows"):
        (value,) = arguments
        for child in module.children():
            value = _Child(child, recording)(value)
        return value
    return _recorded(forward.in_rows, module, recording, arguments, options)


def _recorded(
    forward: Any, module: Module, recording: Recording, arguments: Any, options: Any
) -> Any:
    if not torch.compiler.is_compiling():  # a compiler looks after its guards
        for cls in type(module).__mro__:  # somebody may replace the method
            if "forward" in vars(cls):
                recording.reads.append(Read.of(cls, "forward", vars(cls)["forward"]))
    return forward(_StandIn(module, recording), *arguments, **options)


def record(forward: Callable[..., Any], module: Module, inputs: int) -> Recording:
    """What `forward`, a function of the module's class, does with the module and some tensors.

    Of the modules in it those are gone through that run in rows by themselves, and those that only
    call their children one after the other. Others are called.

    Args:
        forward: the function.
        module: its first argument.
        inputs: how many tensors follow.

    Raises:
        NotRecordable: a recording would not say it all.
    """
    recording = Recording()
    recording.inputs = [Value(recording) for _ in range(inputs)]
    try:
        recording.output = _recorded(forward, module, recording, recording.inputs, {})
    except NotRecordable:
        raise
    except Exception as error:  # whatever a method does with a value that is not a tensor
        raise NotRecordable(f"{type(error).__name__}: {error}") from error
    return recording

"""What makes a layer of ours replace the torch.nn layer that it derives from.

Inheritance leaves two things open. Code written for torch.nn and run with cnnext.nn asks
`isinstance(module, nn.Linear)` about models that hold layers of both, and means both. And libraries
replace methods on torch.nn's classes (`torch.nn.Linear.forward = patched`) and expect every layer
to call what they put there, also where ours overrides it.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.nn import Module

from cnnext.runtime.fallback import call_instead

_Class = TypeVar("_Class", bound=type[Module])


class NativeLayer:
    """A class of torch.nn, and the methods of its forward pass that ours overrides or leaves out.

    The methods, as torch defines them, are attributes of this object. Before it computes anything,
    a layer compares them with what the class has now:

        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)

    Args:
        cls: the class; held here, since torch.nn's name for it may come to mean another.
        methods: the names of the methods.
        scriptable: whether TorchScript compiles our forward pass; if not, native's.
    """

    cls: Any
    layer: type[Module]  # ours
    forward: Any
    _conv_forward: Any

    def __init__(self, cls: type[Module], *methods: str, scriptable: bool = True) -> None:
        self.cls = cls
        self._scriptable = scriptable
        self._names = [name for name in methods or ("forward",) if hasattr(cls, name)]
        self._define(lambda method: method if self._is_known(method) else None)

    def _define(self, as_defined: Callable[[Any], Any]) -> None:
        self._methods = [(name, as_defined(getattr(self.cls, name))) for name in self._names]
        for name, method in self._methods:
            setattr(self, name, method)

    def drop_in(self, cls: _Class) -> _Class:
        """The decorator of our layer, a direct subclass whose metaclass is ABCMeta.

        What is an instance or a subclass of torch.nn's class becomes one of ours, not of subclasses
        of ours. ABCMeta asks once for each class, and torch.compile knows it.
        """

        def subclass_hook(asked: type, other: type) -> Any:
            return issubclass(other, self.cls) if asked is cls else NotImplemented

        def prepare_scriptable(layer: Module) -> Module:
            """TorchScript compiles methods that were replaced, too.

            Else it compiles ours, if it can: it leaves in the user's model what this returns.
            """
            is_native = not self._scriptable or (type(layer) is cls and self.is_replaced())
            return self.counterpart(layer) if is_native else layer

        layer_type: Any = cls

        def init_subclass(subclass: Any, **kwargs: Any) -> None:
            """A class made by a call of `type` is its caller's, not that of ABCMeta's file."""
            super(layer_type, subclass).__init_subclass__(**kwargs)
            frame = sys._getframe(1)
            while subclass.__module__ == "abc" and frame.f_back is not None:
                frame = frame.f_back
                subclass.__module__ = frame.f_globals["__name__"]

        for name, method in (
            ("__init_subclass__", classmethod(init_subclass)),
            ("__subclasshook__", classmethod(subclass_hook)),
            ("__prepare_scriptable__", prepare_scriptable),
        ):
            if name not in vars(cls):
                setattr(cls, name, method)
        self.layer = cls
        NATIVE_LAYERS[cls] = self
        return cls

    def is_replaced(self) -> bool:
        """Whether any of the methods is neither torch's nor ours."""
        cls = self.cls
        for name, method in self._methods:
            if getattr(cls, name) is not method:
                return not self._adopt_known()
        return False

    def _adopt_known(self) -> bool:
        """Takes what the class has now as defined, if nothing of it is somebody else's.

        It is torch's again after one that was there before cnnext was imported, or it is ours.
        """
        if self.replaced():
            return False
        self._define(lambda method: method)
        return True

    def replaced(self) -> list[str]:
        """What was replaced by whom, a phrase for each method."""
        found = []
        for name, defined in self._methods:
            method = getattr(self.cls, name)
            if method is not defined and not self._is_known(method):
                by = getattr(method, "__qualname__", None) or repr(method)
                if module := getattr(method, "__module__", None):
                    by = f"{module}.{by}"
                found.append(f"torch.nn.{self.cls.__name__}.{name} was replaced by {by}")
        return found

    def call_replaced(self, name: str, layer: Module, *args: Any) -> Any:
        """Calls what the class has now, and says so the first time."""
        method = getattr(self.cls, name)
        if torch.compiler.is_compiling():
            return method(layer, *args)
        if not self.is_replaced():
            return getattr(self.layer, name)(layer, *args)
        reason = ", ".join(self.replaced())
        return call_instead(self.cls.__name__, reason, method, layer, *args)

    def _is_known(self, method: Any) -> bool:
        """Whether it is a method of this name of torch's class or of ours, and no wrapper of it."""
        home = getattr(method, "__globals__", {}).get("__name__", "")
        owner = getattr(method, "__qualname__", "").rpartition(".")[0]
        return home.startswith(("torch.", "cnnext.")) and any(
            owner == base.__name__ for base in self.cls.__mro__
        )

    def counterpart(self, layer: Module) -> Module:
        """A module of torch.nn's class with the same parameters."""
        clone = copy.copy(layer)
        clone.__class__ = self.cls
        return clone


#: The layer of torch.nn for each class of ours.
NATIVE_LAYERS: dict[type[Module], NativeLayer] = {}

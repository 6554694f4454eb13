"""Runs a function once somebody imports a module.

The tools of PyTorch that our package extends take longer to import than the rest of PyTorch, and
most programs use none: TorchDynamo brings SymPy and TorchInductor, the flop counter brings Triton.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], object]


def when_imported(name: str, hook: Hook) -> None:
    """Calls `hook` with the module of that name: now, or right after it is first imported."""
    if (module := sys.modules.get(name)) is not None:
        hook(module)
    else:
        sys.meta_path.insert(0, _Finder(name, hook))


class _Finder(MetaPathFinder):
    """Finds one module, by the finders behind this one, and adds the hook to its loader."""

    def __init__(self, name: str, hook: Hook) -> None:
        self._name, self._hook = name, hook

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._loaded)
                return spec
        return None

    def _loaded(self, module: ModuleType) -> None:
        sys.meta_path.remove(self)
        self._hook(module)


class _Loader(Loader):
    """Loads a module as its own loader does, which it is left with, then calls the hook."""

    def __init__(self, loader: Loader, hook: Hook) -> None:
        self._loader, self._hook = loader, hook

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._hook(module)

    def __getattr__(self, name: str) -> Any:  # for whoever finds a module without loading it
        return getattr(self._loader, name)

"""torch.nn's names and submodules under cnnext.nn.

`cnnext.nn.utils.rnn` is torch.nn's module itself: one state, whoever asks. Only a module that holds
a layer which cnnext has its own of (`torch.nn.modules.conv`) is mirrored by one of the same names,
with ours in their place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_NATIVE, _OURS = "torch.nn.", "cnnext.nn."


def fill(
    namespace: dict[str, Any], native: ModuleType, of: Callable[[Any], Any] = lambda value: value
) -> None:
    """Adds to a module what `native` holds and it does not, now or later, and exports the same.

    Args:
        namespace: the module's.
        native: a module of torch.nn.
        of: what to take for something that `native` holds.
    """
    ours = namespace["__name__"]

    def __getattr__(name: str) -> Any:
        if name.startswith("__") or not hasattr(native, name):
            raise AttributeError(f"module {ours!r} has no attribute {name!r}")
        value = getattr(native, name)
        if isinstance(value, ModuleType) and value.__name__ == f"{native.__name__}.{name}":
            return import_module(f"{ours}.{name}")
        return of(value)

    for name, value in vars(native).items():
        if not name.startswith("__"):
            namespace.setdefault(name, of(value))
    namespace["__getattr__"] = __getattr__
    public = [name for name in vars(native) if not name.startswith("_")]
    namespace["__all__"] = getattr(native, "__all__", public)


class Mirror(MetaPathFinder, Loader):
    """Finds the modules of torch.nn under cnnext.nn.

    Args:
        layers: our classes by torch.nn's.
    """

    def __init__(self, layers: Mapping[type, type]) -> None:
        self._ours: dict[int, Any] = {id(native): layer for native, layer in layers.items()}

    def install(self) -> None:
        """Mirrors the modules that are loaded, and lets imports find the others.

        A loaded module is entered without an import, which would bind its name in the parent: there
        `torch.nn.utils.spectral_norm` is a function, of the same name as its module.
        """
        others = [finder for finder in sys.meta_path if type(finder).__module__ != __name__]
        sys.meta_path[:] = [self, *others]  # first, as some parents are torch's packages
        self._mirror_loaded()

    def of(self, value: Any) -> Any:
        """What stands under cnnext.nn for something that torch.nn holds."""
        return self._ours.get(id(value), value)

    def _mirror_loaded(self) -> None:
        loaded = [name for name in sys.modules if name.startswith(_NATIVE)]
        for name in sorted(loaded, key=lambda name: name.count("."), reverse=True):
            ours = _OURS + name.removeprefix(_NATIVE)
            if ours not in sys.modules:
                sys.modules[ours] = self._mirror(sys.modules[name], ModuleType(ours))

    def _mirror(self, native: ModuleType, module: ModuleType) -> ModuleType:
        """`native`, or `module` filled with ours and the rest of it."""
        if not any(isinstance(v, type) and id(v) in self._ours for v in vars(native).values()):
            return native
        fill(vars(module), native, self.of)
        module.__doc__ = native.__doc__
        if hasattr(native, "__path__"):
            module.__path__ = []
        self._ours[id(native)] = module
        return module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_OURS) or fullname == f"{_OURS}functional":
            return None
        try:
            spec = find_spec(_NATIVE + fullname.removeprefix(_OURS))
        except ModuleNotFoundError:
            return None
        return spec and ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        native = import_module(_NATIVE + module.__name__.removeprefix(_OURS))
        sys.modules[module.__name__] = self._mirror(native, module)
        self._mirror_loaded()

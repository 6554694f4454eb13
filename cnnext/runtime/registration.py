"""What Python registers with torch for our operators: fake kernels and autograd formulas.

Where this package is imported once more, its registrations take the place of the earlier ones, for
whoever still holds the earlier modules too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.library import Library

from cnnext.runtime.library import shared_by_imports

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

_libraries: dict[str, Library] = shared_by_imports("libraries", {})


def _library_for(registration: str) -> Library:
    """A library to register this in, and nothing else, in the place of an earlier import's."""
    if (earlier := _libraries.pop(registration, None)) is not None:
        earlier._destroy()
    library = _libraries[registration] = Library("cnnext", "FRAGMENT")
    return library


def register_fake(*names: str) -> Callable[[_Kernel], _Kernel]:
    """Decorates what these operators return, but for the values: `torch.library.register_fake`."""

    def register(kernel: _Kernel) -> _Kernel:
        for op in names:
            torch.library.register_fake(f"cnnext::{op}", kernel, lib=_library_for(f"fake {op}"))
        return kernel

    return register


def register_autograd(
    op: str, backward: Callable[..., Any], setup_context: Callable[..., None]
) -> None:
    """Registers the gradient of an operator: `torch.library.register_autograd`."""
    torch.library.register_autograd(
        f"cnnext::{op}",
        backward,
        setup_context=setup_context,
        lib=_library_for(f"autograd {op}"),
    )

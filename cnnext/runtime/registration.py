"""What Python registers with torch for our operators: fake kernels and autograd formulas.

Where this package is imported once more, its registrations take the place of the earlier ones, for
whoever still holds the earlier modules too.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.library import Library

from cnnext.runtime.library import ops, shared_by_imports

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])
Backward = Callable[..., tuple[Tensor | None, ...]]
Save = Callable[[Any, tuple[Any, ...], Any], None]

_libraries: dict[str, Library] = shared_by_imports("libraries", {})


def _library_for(registration: str) -> Library:
    """A library for this registration alone, which replaces that of an earlier import."""
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
    op: str, backward: Backward, save: Save, forward: Callable[..., Any] | None = None
) -> type[Function]:
    """Registers the gradient of an operator for graphs: `torch.library.register_autograd`.

    Args:
        op: its name.
        backward: computes the gradients of its first arguments from the gradients of its results.
        save: keeps what they need: takes `ctx`, `inputs` (all arguments) and `output`.
        forward: computes outside of graphs; by default `<op>_forward`, on the same arguments.

    Returns:
        The Function for that, with the same gradient.
    """

    def all_gradients(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        gradients = backward(ctx, *grads)
        return *gradients, *(None,) * (len(ctx.needs_input_grad) - len(gradients))

    torch.library.register_autograd(
        f"cnnext::{op}", all_gradients, setup_context=save, lib=_library_for(f"autograd {op}")
    )

    raw_forward = f"{op}_forward"

    def forward_and_save(ctx: Any, *arguments: Any) -> Any:
        results = getattr(ops, raw_forward).default(*arguments)
        save(ctx, arguments, results)
        return results

    methods = {
        "forward": staticmethod(forward or forward_and_save),
        "backward": staticmethod(all_gradients),
    }
    name = "".join(word.capitalize() for word in op.split("_"))
    return types.new_class(
        f"{name}Function", (Function,), exec_body=lambda body: body.update(methods)
    )

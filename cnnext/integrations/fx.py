"""Our modules in torch.fx.symbolic_trace: leaves of the graph, as their namesakes are.

`Tracer.is_leaf_module` knows torch.nn's modules by where their class is defined, and a class cannot
claim to be defined elsewhere without its pickles looking for it there. So the method is extended,
for exactly our modules; tracers with a rule of their own keep it.
"""

from __future__ import annotations

import functools
from typing import Any

from torch.fx import Tracer
from torch.nn import Module, Sequential

_is_leaf_of_torch = Tracer.is_leaf_module
if getattr(_is_leaf_of_torch, "__globals__", {}).get("__name__") == __name__:  # imported again
    _is_leaf_of_torch = _is_leaf_of_torch.__wrapped__  # type: ignore[attr-defined]


@functools.wraps(_is_leaf_of_torch)
def _is_leaf_module(self: Tracer, m: Module, *args: Any, **kwargs: Any) -> bool:
    # Told by the module's name, as torch's: then classes of another import of ours are leaves too.
    is_ours = type(m).__module__.startswith("cnnext.ops.") and not isinstance(m, Sequential)
    return is_ours or _is_leaf_of_torch(self, m, *args, **kwargs)


Tracer.is_leaf_module = _is_leaf_module  # type: ignore[method-assign]

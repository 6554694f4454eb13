"""Our modules in torch.fx.symbolic_trace: leaves of the graph, as their namesakes are.

`Tracer.is_leaf_module` knows torch.nn's modules by where their class is defined, and a class cannot
claim to be defined elsewhere without its pickles looking for it there. So the method is extended,
for exactly our modules; tracers with a rule of their own keep it.
"""

from __future__ import annotations

import functools
from typing import Any

from torch.fx import Tracer
from torch.nn import Module

from cnnext.nn import MODULES

_is_leaf_of_torch = Tracer.is_leaf_module


@functools.wraps(_is_leaf_of_torch)
def _is_leaf_module(self: Tracer, m: Module, *args: Any, **kwargs: Any) -> bool:
    return type(m) in MODULES or _is_leaf_of_torch(self, m, *args, **kwargs)


Tracer.is_leaf_module = _is_leaf_module  # type: ignore[method-assign]

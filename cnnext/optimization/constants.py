"""Values that follow from the model's tensors alone, such as a filter that is standardized.

They are no part of a graph but weights of it, made anew when one of those tensors changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cnnext.optimization.operands import Constant, Unsupported
from cnnext.optimization.weights import Computed

#: In the names of functions that give what nobody wrote.
_UNWRITTEN = ("empty",)

#: Functions with steps: float64, in which constants are computed, may be on the other side of one.
_WITH_STEPS = frozenset(
    {"floor", "ceil", "round", "trunc", "fix", "frac", "sign", "sgn", "heaviside", "fmod", "mod"}
    | {"remainder", "floor_divide", "floordiv", "gt", "ge", "lt", "le", "eq", "ne", "where"}
    | {"argmax", "argmin", "argsort", "sort", "topk", "bucketize", "searchsorted", "to", "type"}
    | {"int", "long", "short", "bool", "half", "bfloat16", "logical_not", "isclose"}
)


class _NoRandomNumbers(TorchDispatchMode):
    """Raises where an operator of PyTorch draws random numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unsupported(f"{func.__name__} is random")
        return func(*args, **(kwargs or {}))


def computed(function: Callable[..., Any], args: Any, kwargs: Any) -> Constant:
    """What a function without side effects makes of constants."""
    name = getattr(function, "__name__", str(function))
    if any(word in name for word in _UNWRITTEN):
        raise Unsupported(f"{name} gives any values")
    if name.strip("_") in _WITH_STEPS:
        raise Unsupported(f"{name} has steps")
    given = (args, kwargs)
    described = pytree.tree_map_only(Constant, _described, given)
    try:
        with _NoRandomNumbers():
            result = function(*described[0], **described[1])
    except Unsupported:
        raise
    except Exception as error:  # a function that looks at values, for example
        raise Unsupported(f"{name} of tensors of the model: {error}") from error
    if type(result) is not Tensor:
        raise Unsupported(f"{name} of tensors of the model is not a tensor")
    recipes = pytree.tree_map_only(Constant, Constant.recipe, given)
    leaves, structure = pytree.tree_flatten(recipes)
    recipe = Computed(function, tuple(leaves), structure, tuple(result.shape))
    return Constant(result, f"{name} of tensors of the model", recipe)


def _described(constant: Constant) -> Tensor:
    """A tensor of these sizes and this type, without memory."""
    return torch.empty_like(constant.tensor.detach(), device="meta")

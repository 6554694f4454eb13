"""Values that follow from the model's tensors alone, such as a filter that is standardized.

They are no part of a graph but weights of it, made anew when one of those tensors changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnext.optimization.functions import Constant, Unsupported
from cnnext.optimization.weights import Computed

#: In the names of functions that give something else each time.
_RANDOM = ("rand", "dropout", "bernoulli", "multinomial", "normal_", "poisson", "empty")


def computed(function: Callable[..., Any], args: Any, kwargs: Any) -> Constant:
    """What a function without side effects makes of constants."""
    name = getattr(function, "__name__", str(function))
    if any(word in name for word in _RANDOM):
        raise Unsupported(f"{name} is random")
    given = (args, kwargs)
    described = pytree.tree_map_only(Constant, _described, given)
    try:
        result = function(*described[0], **described[1])
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

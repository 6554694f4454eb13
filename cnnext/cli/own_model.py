"""A model of the user's own, named ``MODULE:FUNCTION`` where others have a name of ``subjects``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import torch
from torch import Tensor

import cnnext
from cnnext.cli.arguments import UserError
from cnnext.cli.data import Sample
from cnnext.testing.model_pair import Build

_SEED = 0


def is_one(name: str) -> bool:
    """Whether this is the name of such a model."""
    return ":" in name


def check(name: str) -> None:
    """Raise a UserError unless there is the function, and its model computes one tensor."""
    model, example = _made(name)
    with torch.no_grad():
        result = model.eval()(example)
    if not isinstance(result, Tensor):
        raise UserError(f"the model of {name} must return a tensor, not {type(result).__name__}")


def builder(name: str) -> Build:
    """Makes the native model, or what ``cnnext.convert`` makes of it, each time anew."""

    def build(layers: Any) -> torch.nn.Module:
        model, _ = _made(name)
        return model if layers is torch.nn else cnnext.convert(model)

    return build


def sample(name: str, batch: int) -> Sample:
    """A batch of its example's images, each again until there are enough."""
    _, example = _made(name)
    images = example[torch.arange(batch) % len(example)]
    return Sample(images, torch.zeros(batch, dtype=torch.int64), "its example")


def _made(name: str) -> tuple[torch.nn.Module, Tensor]:
    """What the function returns, the same in every process.

    Raises:
        UserError: there is no such function, or it returns something else.
    """
    function = _function(name)
    # On the CPU though it is called to make a model without memory, which not every code can.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(_SEED)
        made = function()
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (None, None)
    if not (isinstance(model, torch.nn.Module) and isinstance(example, Tensor)):
        raise UserError(f"{name} must return a model and a tensor that it can be called with")
    if example.dtype != torch.float32 or example.ndim == 0 or len(example) == 0:
        raise UserError(f"the tensor that {name} returns must be a batch of float32 images")
    return model, example


def _function(name: str) -> Any:
    if os.getcwd() not in sys.path:  # where the installed script does not look for modules
        sys.path.insert(0, os.getcwd())
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except (ImportError, ValueError) as error:
        raise UserError(f"the module {module!r} cannot be imported: {error}") from error
    if not callable(found):
        raise UserError(f"the module {module!r} has no function {function!r}")
    return found

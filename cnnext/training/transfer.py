"""Transfer learning: weights from a file, and layers that keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from cnnext.training.errors import UserError

#: The value of ``--freeze`` that leaves the last layer alone to be trained.
FEATURES = "features"


def load_weights(model: torch.nn.Module, path: Path, classes: Sequence[str] = ()) -> str | None:
    """Give the model the weights of a file, except for a last layer that tells apart other classes.

    Args:
        model: the model.
        path: a ``state_dict`` with the model's keys, or a checkpoint that holds one as "model".
        classes: what the model is to tell apart. A last layer of another size is for others, and
            so is that of a checkpoint with other "classes".

    Returns:
        A sentence about the last layer, if it was left as initialised.

    Raises:
        UserError: the file cannot be read, or holds other weights.
    """
    weights, known = _read(path)
    own = model.state_dict()
    head = _head(model)
    missing = [key for key in own if key not in weights]
    unexpected = [key for key in weights if key not in own]
    for what, keys in (("lacks", missing), ("has the unexpected", unexpected)):
        if keys:
            raise UserError(f"--init {str(path)!r} {what} {_listed(keys)}")
    other = [key for key, value in weights.items() if value.shape != own[key].shape]
    outside = [key for key in other if not key.startswith(f"{head}.")]
    if outside:
        key = outside[0]
        found, expected = (" x ".join(map(str, w[key].shape)) for w in (weights, own))
        raise UserError(f"--init {str(path)!r} has {key} of {found}, not {expected}")
    if other:
        what = f"{other[0]} is"
        found, expected = (" x ".join(map(str, w[other[0]].shape)) for w in (weights, own))
    elif known and classes and known != [*classes]:
        what = "its classes are"
        found, expected = _listed(known), _listed(classes)
    else:
        model.load_state_dict(weights)
        return None
    taken = {key: value for key, value in weights.items() if not key.startswith(f"{head}.")}
    model.load_state_dict(taken, strict=False)
    return f"{head} stays as initialised: {what} {found} in {path.name}, not {expected}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _read(path: Path) -> tuple[Mapping[str, Tensor], list[str]]:
    """The weights of a file, and the classes that they tell apart where it says so."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read --init {str(path)!r}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f"--init {str(path)!r} is damaged, or holds more than weights: {type(error).__name__}"
        ) from error
    classes: list[str] = []
    if isinstance(document, Mapping) and isinstance(document.get("model"), Mapping):
        if isinstance(document.get("classes"), list):
            classes = [*map(str, document["classes"])]
        document = document["model"]
    if not isinstance(document, Mapping) or not all(
        isinstance(value, Tensor) for value in document.values()
    ):
        raise UserError(f"--init {str(path)!r} holds no state_dict")
    return document, classes


def _head(model: torch.nn.Module) -> str:
    """The name of the last layer with parameters; what has some of its own is one layer."""
    name = [name for name, _ in model.named_parameters()][-1].rpartition(".")[0]
    while parent := name.rpartition(".")[0]:
        if not list(model.get_submodule(parent).parameters(recurse=False)):
            break
        name = parent
    return name


def freeze(model: torch.nn.Module, what: str) -> None:
    """Leave only the last layer to be trained, or the last parts.

    Args:
        model: the model.
        what: ``FEATURES``, or how many of the model's children with parameters are trained.

    Raises:
        UserError: there are not that many.
    """
    children = [name for name, child in model.named_children() if list(child.parameters())]
    if what == FEATURES:
        trained = [_head(model)]
    elif int(what) > len(children):
        raise UserError(
            f"--freeze {what}: the model has only {len(children)} parts: {', '.join(children)}"
        )
    else:
        trained = children[-int(what) :]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(name.startswith(f"{each}.") for each in trained))


def frozen_norms(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Batch norms whose parameters are all frozen: neither do their statistics change."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                yield module

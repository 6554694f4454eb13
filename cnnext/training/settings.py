"""What the weights after an epoch depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch

import cnnext.nn

LAYERS: Mapping[str, ModuleType] = {"cnnext": cnnext.nn, "torch": torch.nn}

#: By name: from parameters, ``lr`` and ``weight_decay``.
OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@dataclass(frozen=True)
class Settings:
    """Options of a run; ``data`` is the name of its task."""

    model: str
    data: str
    layers: str
    batch_size: int
    optimizer: str
    lr: float
    seed: int

"""What the weights after an epoch depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, StepLR

import cnnext.nn
from cnnext.training.task import Defaults

LAYERS: Mapping[str, ModuleType] = {"cnnext": cnnext.nn, "torch": torch.nn}

#: By name: from parameters, ``lr`` and perhaps ``weight_decay``.
OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}

#: How the learning rate changes from epoch to epoch.
SCHEDULES = ("exponential", "constant", "step", "cosine")
_STEPS, _STEP_FACTOR = 3, 0.1


@dataclass(frozen=True)
class Settings:
    """Options of a run.

    Attributes:
        data: name of the task.
        schedule_epochs: the length of the run, where the schedule depends on it.
        init: file of the initial weights.
        freeze: which layers keep them, as ``transfer.freeze`` has it.
    """

    model: str
    data: str
    layers: str
    batch_size: int
    optimizer: str
    lr: float
    seed: int
    # What follows has the values that checkpoints of version 0.1 were made with.
    schedule: str = "exponential"
    schedule_epochs: int | None = None
    amp: bool = False
    device: str = "cpu"
    init: str | None = None
    freeze: str | None = None


def make_schedule(
    settings: Settings,
    defaults: Defaults,
    optimizer: torch.optim.Optimizer,
    last_epoch: int = -1,
) -> LRScheduler:
    """The schedule of these settings, after an epoch counted from 0; -1 is the beginning.

    All but the cosine are functions of the epoch alone, so that a run may be continued to any
    length.
    """
    if settings.schedule == "cosine":
        assert settings.schedule_epochs is not None
        return CosineAnnealingLR(optimizer, settings.schedule_epochs, last_epoch=last_epoch)
    if settings.schedule == "step":
        size = max(1, defaults.epochs // _STEPS)
        return StepLR(optimizer, size, _STEP_FACTOR, last_epoch=last_epoch)
    decay = 1.0 if settings.schedule == "constant" else defaults.decay
    return LambdaLR(optimizer, lambda epoch: decay**epoch, last_epoch=last_epoch)

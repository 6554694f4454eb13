"""A model in training: epochs that another run of the same settings repeats bit by bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from torch.utils.data import DataLoader

import cnnext.nn
from cnnext import models
from cnnext.training.digits import Split
from cnnext.training.errors import UserError
from cnnext.training.history import Epoch

#: Called after each step with the batch's mean loss, before the step.
Progress = Callable[[float], None]

LAYERS: Mapping[str, ModuleType] = {"cnnext": cnnext.nn, "torch": torch.nn}

#: By optimizer: its default learning rate, for batches of 32.
LEARNING_RATES = {"sgd": 0.03, "adam": 2e-3, "adamw": 2e-3}

# By how much the learning rate falls each epoch: a function of the epoch's number alone, so that
# a run may be continued to any length.
_DECAY = 0.9

# The most pixels by which a training image is shifted, drawn anew each time.
_SHIFT = 2

_OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@dataclass(frozen=True)
class Settings:
    """What the weights after an epoch depend on."""

    model: str
    data: str
    layers: str
    batch_size: int
    optimizer: str
    lr: float
    seed: int


def check_fit(model: str, split: Split) -> None:
    """Raise a UserError unless this builder's model gives these images scores of their classes."""
    with torch.device("meta"), torch.no_grad():
        net = getattr(models, model)(num_classes=split.classes, layers=torch.nn).eval()
        try:
            scores = net(torch.empty(1, *split.image_shape))
        except RuntimeError as error:
            shape = " x ".join(map(str, split.image_shape))
            raise UserError(f"{model} does not take images of {shape}: {error}") from error
    if scores.shape != (1, split.classes):
        shape = " x ".join(map(str, scores.shape))
        raise UserError(
            f"{model} does not classify images: its output is {shape}, not 1 x {split.classes}"
        )


class Training:
    """A model with its optimizer and its batches, between two epochs.

    The initial weights and the batches depend on the seed alone, not on the layers. Seeds PyTorch's
    global generator, from which weights and dropout are drawn.

    Attributes:
        model: the model.
        epochs: how many epochs it has been trained.
    """

    def __init__(self, settings: Settings, split: Split) -> None:
        torch.manual_seed(settings.seed)
        build = getattr(models, settings.model)
        self.model: torch.nn.Module = build(
            num_classes=split.classes, layers=LAYERS[settings.layers]
        )
        self.epochs = 0
        self._lr = settings.lr
        self._optimizer = _OPTIMIZERS[settings.optimizer](self.model.parameters(), lr=settings.lr)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._train = DataLoader(
            split.train, batch_size=settings.batch_size, shuffle=True, generator=self._generator
        )
        self._test = DataLoader(split.test, batch_size=settings.batch_size)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return len(self._train)

    def epoch(self, progress: Progress) -> Epoch:
        """Train on every image once, then test."""
        start = time.perf_counter()
        train_loss, train_accuracy = self._learn(progress)
        test_loss, test_accuracy = self._score()
        self.epochs += 1
        seconds = time.perf_counter() - start
        return Epoch(self.epochs, train_loss, train_accuracy, test_loss, test_accuracy, seconds)

    def predict(self) -> tuple[Tensor, Tensor]:
        """The labels of the test images, and the classes that the model finds."""
        batches = [(labels, outputs.argmax(1)) for outputs, labels in self._tested()]
        labels, predictions = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return labels, predictions

    def state(self) -> dict[str, Any]:
        """All that the epochs to come depend on."""
        return {
            "epoch": self.epochs,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "global_generator": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state`` of the same settings."""
        self.epochs = state["epoch"]
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["global_generator"])

    def _learn(self, progress: Progress) -> tuple[float, float]:
        """Mean loss and accuracy over the epoch, each batch's before its step."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * _DECAY**self.epochs
        self.model.train()
        total, correct, count = 0.0, 0, 0
        for images, labels in self._train:
            self._optimizer.zero_grad()
            outputs = self.model(_shifted(images, self._generator))
            loss = cross_entropy(outputs, labels)
            loss.backward()
            self._optimizer.step()
            value = loss.item()
            total += value * len(labels)
            correct += _correct(outputs, labels)
            count += len(labels)
            progress(value)
        return total / count, correct / count

    def _score(self) -> tuple[float, float]:
        total, correct, count = 0.0, 0, 0
        for outputs, labels in self._tested():
            total += cross_entropy(outputs, labels, reduction="sum").item()
            correct += _correct(outputs, labels)
            count += len(labels)
        return total / count, correct / count

    def _tested(self) -> list[tuple[Tensor, Tensor]]:
        """The outputs for the test images with their labels, batch by batch."""
        self.model.eval()
        with torch.no_grad():
            return [(self.model(images), labels) for images, labels in self._test]


def _correct(outputs: Tensor, labels: Tensor) -> int:
    return int((outputs.argmax(1) == labels).sum())


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by its own whole number of pixels; the border is repeated."""
    count, _, height, width = images.shape
    padded = pad(images, (_SHIFT,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * _SHIFT + 1, (2, count), generator=generator)
    return windows[torch.arange(count), :, top, left]

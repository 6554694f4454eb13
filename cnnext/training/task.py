"""What a model is trained for: data, loss and score, independently of how it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

#: From the namespace of its layers, the model.
Build = Callable[[ModuleType], torch.nn.Module]


@dataclass(frozen=True)
class Score:
    """How good outputs are; ``name`` is also part of the log's columns."""

    name: str
    larger_is_better: bool
    format: str

    @property
    def column(self) -> str:
        return self.name.replace(" ", "_")

    def text(self, value: float) -> str:
        return format(value, self.format)


@dataclass(frozen=True)
class Defaults:
    """Options of a run that are not given, chosen for the task's data.

    Attributes:
        epochs: how many.
        batch_size: samples of a step.
        rates: the learning rate of each optimizer.
        decay: the factor of the learning rate after each epoch.
        weight_decay: of every optimizer; None leaves each its own.
    """

    epochs: int
    batch_size: int
    rates: Mapping[str, float]
    decay: float
    weight_decay: float | None = None


class Share(NamedTuple):
    """The samples of a batch that one process has, those from ``start`` to ``stop``.

    Attributes:
        size: samples of the whole batch.
        weight: of their mean loss in the mean over the processes; 0 if they are another's.
    """

    size: int
    start: int
    stop: int
    weight: float

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)


class Tested(NamedTuple):
    """A batch of test data, on the CPU, and what the model makes of it."""

    inputs: list[Tensor]
    outputs: Tensor
    targets: Tensor


class Table(NamedTuple):
    """A part of the results, to be printed."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


class Results(NamedTuple):
    """What is kept of the test data, and shown.

    Attributes:
        writers: for each of the task's ``results_files``, what writes it.
        table: what is printed.
    """

    writers: Sequence[Callable[[Path], None]]
    table: Table | None = None


class Task(ABC):
    """Data to learn from, other data to test with, and what makes an output good.

    A sample of the data is a tuple of the model's arguments and then the target.

    Attributes:
        build: makes the model for these data.
        train: what to learn from.
        test: what to test with.
        defaults: options of a run that are not given.
        description: how much data there are, for the user.
        classes: names of what outputs tell apart, in their order; none if they are no classes.
    """

    #: How outputs are scored.
    score: ClassVar[Score]
    #: The files of the ``results``.
    results_files: ClassVar[tuple[str, ...]]
    #: Whether samples are joined to batches; if not, one sample is all there is.
    batched: ClassVar[bool] = True

    def __init__(
        self,
        build: Build,
        train: Dataset[Any],
        test: Dataset[Any],
        defaults: Defaults,
        description: str,
        classes: Sequence[str] = (),
    ) -> None:
        self.build = build
        self.train = train
        self.test = test
        self.defaults = defaults
        self.description = description
        self.classes = classes

    def augment(
        self, inputs: list[Tensor], generator: torch.Generator, share: Share
    ) -> list[Tensor]:
        """Training inputs, changed at random in ways that keep their targets.

        Random numbers are drawn for the whole batch, of which the inputs are a share: they must
        not depend on the number of processes.
        """
        return inputs

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch."""

    @abstractmethod
    def statistics(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the score is computed from once it is summed over all batches."""

    @abstractmethod
    def value(self, statistics: Tensor) -> float:
        """The score, from the sum of all ``statistics``."""

    def describe(self, statistics: Tensor) -> str:
        """The score in words, from the sum of all ``statistics``."""
        return self.score.text(self.value(statistics))

    @abstractmethod
    def results(self, tested: Iterable[Tested]) -> Results:
        """What a trained model makes of the test data."""

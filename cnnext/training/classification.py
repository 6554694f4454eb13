"""One class for each image, or for each node of a graph."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from torch.utils.data import Dataset

from cnnext.training.errors import UserError, demo_module
from cnnext.training.task import Build, Defaults, Score, Share, Table, Task, Tested

#: The label of what is neither learned from nor scored.
UNLABELLED = -100


def checked_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy, or a UserError where a label is none of the classes."""
    try:
        return cross_entropy(outputs, targets, ignore_index=UNLABELLED)
    except IndexError as error:
        classes = outputs.shape[1]
        wrong = targets[(targets != UNLABELLED) & ((targets < 0) | (targets >= classes))]
        raise UserError(
            f"--data has the label {int(wrong[0])}: expected 0 to {classes - 1}"
        ) from error


class Classification(Task):
    """Cross entropy and accuracy, with a confusion matrix at the end."""

    score = Score("accuracy", larger_is_better=True, format=".2%")
    results_file = "confusion.csv"

    def __init__(
        self,
        build: Build,
        train: Dataset[Any],
        test: Dataset[Any],
        defaults: Defaults,
        description: str,
        classes: int,
    ) -> None:
        super().__init__(build, train, test, defaults, description)
        self._classes = classes

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return checked_cross_entropy(outputs, targets)

    def statistics(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The right answers, and all."""
        right = outputs.argmax(1) == targets
        return torch.stack((right.sum(), (targets != UNLABELLED).sum()))

    def value(self, statistics: Tensor) -> float:
        right, count = statistics.tolist()
        return right / count

    def describe(self, statistics: Tensor) -> str:
        right, count = statistics.tolist()
        return f"{super().describe(statistics)} ({right} of {count})"

    def write_results(self, path: Path, tested: Iterable[Tested]) -> Table:
        """The confusion matrix."""
        parts = [(batch.targets, batch.outputs.argmax(1)) for batch in tested]
        labels, predictions = (torch.cat(each) for each in zip(*parts, strict=True))
        known = labels != UNLABELLED
        confusion = demo_module("sklearn.metrics").confusion_matrix(
            labels[known], predictions[known], labels=range(self._classes)
        )
        headers = ("true", *map(str, range(self._classes)))
        rows = [(str(label), *map(str, row)) for label, row in enumerate(confusion.tolist())]
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([headers, *rows])
        return Table("Confusion matrix (columns: predicted)", headers, rows)


class ImageClassification(Classification):
    """Images, each shifted by up to ``shift`` pixels in training, and mirrored if ``mirror``."""

    def __init__(
        self, *arguments: Any, shift: int = 2, mirror: bool = False, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._shift = shift
        self._mirror = mirror

    def augment(
        self, inputs: list[Tensor], generator: torch.Generator, share: Share
    ) -> list[Tensor]:
        (images,) = inputs
        images = shifted(images, self._shift, generator, share)
        if self._mirror:
            mirrored = torch.rand(share.size, 1, 1, 1, generator=generator) < 0.5
            images = torch.where(mirrored[share.rows], images.flip(3), images)
        return [images]


class NodeClassification(Classification):
    """All nodes of one graph at once, of which a few have labels to learn from."""

    batched = False


def shifted(
    images: Tensor, most: int, generator: torch.Generator, share: Share | None = None
) -> Tensor:
    """Each image shifted by its own whole number of pixels; the border is repeated.

    Args:
        images: those to shift.
        most: by how many pixels.
        generator: draws the shifts of all images of the batch.
        share: which of the batch the images are; None for all.
    """
    count, _, height, width = images.shape
    size, rows = (count, slice(None)) if share is None else (share.size, share.rows)
    padded = pad(images, (most,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * most + 1, (2, size), generator=generator)[:, rows]
    return windows[torch.arange(count), :, top, left]

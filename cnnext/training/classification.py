"""One class for each image, or for each node of a graph."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from cnnext.training.errors import UserError, demo_module
from cnnext.training.figures import figure_of, writer_of
from cnnext.training.task import Results, Score, Share, Table, Task, Tested

#: The label of what is neither learned from nor scored.
UNLABELLED = -100

# Where there are more, their names and numbers would cover each other.
_MAX_NAMED_CLASSES = 20


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
    results_files = ("confusion.csv", "confusion.png")

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

    def results(self, tested: Iterable[Tested]) -> Results:
        """The confusion matrix, as numbers and as a picture."""
        parts = [(batch.targets, batch.outputs.argmax(1)) for batch in tested]
        labels, predictions = (torch.cat(each) for each in zip(*parts, strict=True))
        known = labels != UNLABELLED
        confusion = demo_module("sklearn.metrics").confusion_matrix(
            labels[known], predictions[known], labels=range(len(self.classes))
        )
        table = Table(
            "Confusion matrix (columns: predicted)",
            ("true", *self.classes),
            [
                (name, *map(str, row))
                for name, row in zip(self.classes, confusion.tolist(), strict=True)
            ],
        )
        picture = confusion_figure(confusion, self.classes)
        return Results([partial(write_table, table=table), writer_of(picture)], table)


def write_table(path: Path, table: Table) -> None:
    """A table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([table.headers, *table.rows])


def confusion_figure(confusion: Any, classes: Sequence[str]) -> Any:
    """A confusion matrix (true, predicted) in colors; with names and numbers if they are few.

    Raises:
        UserError: scikit-learn or matplotlib is not installed.
    """
    figure, (axis,) = figure_of(1)
    few = len(classes) <= _MAX_NAMED_CLASSES
    # Names are no formulas, as text between dollars would be.
    names = [name.replace("$", r"\$") for name in classes] if few else None
    display = demo_module("sklearn.metrics").ConfusionMatrixDisplay(confusion, display_labels=names)
    display.plot(
        ax=axis, include_values=few, colorbar=not few, cmap="Blues", xticks_rotation="vertical"
    )
    if not few:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


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

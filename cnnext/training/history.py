"""The epochs of a training run, as a CSV file and as curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cnnext.training.figures import figure_of


@dataclass(frozen=True)
class Epoch:
    """What an epoch, counted from 1, achieved: mean losses, shares of right answers, duration."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


def write_csv(path: Path, history: Sequence[Epoch]) -> None:
    """One line an epoch, under the names of its fields."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, history))


def plot_curves(path: Path, history: Sequence[Epoch], title: str) -> None:
    """Loss and accuracy over the epochs, in training and on the test images, as a PNG."""
    figure, axes = figure_of(2, sharey=False)
    epochs = [epoch.epoch for epoch in history]
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for part in ("train", "test"):
            values = [getattr(epoch, f"{part}_{quantity}") for epoch in history]
            axis.plot(epochs, values, marker=".", label=part)
        axis.set_title(quantity)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    axes[0].set_yscale("log")
    figure.suptitle(title)
    figure.savefig(path, format="png")

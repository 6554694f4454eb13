"""The epochs of a training run, as a CSV file and as curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnext.training.figures import figure_of
from cnnext.training.task import Score


@dataclass(frozen=True)
class Epoch:
    """What an epoch, counted from 1, achieved: mean losses, scores, duration."""

    epoch: int
    train_loss: float
    train_score: float
    test_loss: float
    test_score: float
    seconds: float

    def row(self, score: Score) -> dict[str, Any]:
        """As a line of the log, where the scores have their name."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            f"train_{score.column}": self.train_score,
            "test_loss": self.test_loss,
            f"test_{score.column}": self.test_score,
            "seconds": self.seconds,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], score: Score) -> Epoch:
        """The epoch that ``row`` was made of."""
        return cls(
            row["epoch"],
            row["train_loss"],
            row[f"train_{score.column}"],
            row["test_loss"],
            row[f"test_{score.column}"],
            row["seconds"],
        )


def write_csv(path: Path, history: Sequence[Epoch], score: Score) -> None:
    """One line an epoch."""
    rows = [epoch.row(score) for epoch in history]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plot_curves(path: Path, history: Sequence[Epoch], score: Score, title: str) -> None:
    """Loss and score over the epochs, in training and on the test data, as a PNG."""
    figure, axes = figure_of(2, sharey=False)
    epochs = [epoch.epoch for epoch in history]
    for axis, quantity, name in zip(axes, ("loss", "score"), ("loss", score.name), strict=True):
        for part in ("train", "test"):
            values = [getattr(epoch, f"{part}_{quantity}") for epoch in history]
            axis.plot(epochs, values, marker=".", label=part)
        axis.set_title(name)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    axes[0].set_yscale("log")
    if not score.larger_is_better:
        axes[1].set_yscale("log")
    figure.suptitle(title)
    figure.savefig(path, format="png")

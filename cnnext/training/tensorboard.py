"""Losses and scores of the epochs for TensorBoard, where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnext.training.history import Epoch
from cnnext.training.run_folder import explained
from cnnext.training.task import Score

Write = Callable[[Epoch], None]


@contextmanager
def epoch_writer(folder: Path, done: int, score: Score) -> Iterator[Write]:
    """A function that writes an epoch into a folder, or does nothing without TensorBoard.

    Args:
        folder: where TensorBoard is to look.
        done: how many epochs are there; later ones, of a run that was interrupted, are hidden.
        score: of the task.

    Raises:
        UserError: it cannot be written.
    """
    try:
        summary_writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        yield lambda epoch: None
        return
    with explained(folder), summary_writer(str(folder), purge_step=done + 1) as writer:

        def write(epoch: Epoch) -> None:
            for part in ("train", "test"):
                for tag, name in (("loss", "loss"), ("score", score.name)):
                    value = getattr(epoch, f"{part}_{tag}")
                    writer.add_scalar(f"{name}/{part}", value, epoch.epoch)

        yield write

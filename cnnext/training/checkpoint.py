"""A training run between two epochs, as a file that ``torch.load(weights_only=True)`` reads."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from cnnext.training.errors import UserError
from cnnext.training.history import Epoch
from cnnext.training.loop import Training
from cnnext.training.run_folder import RunFolder, replacing
from cnnext.training.settings import Settings
from cnnext.training.task import Score, Task


def save(
    folder: RunFolder,
    settings: Settings,
    training: Training,
    history: Sequence[Epoch],
    task: Task,
) -> None:
    """Replace the folder's checkpoint, and keep it as the previous one.

    Whatever interrupts this, one of the two is whole.

    Raises:
        UserError: it cannot be written.
    """
    document = training.state() | {
        "settings": asdict(settings),
        "classes": [*task.classes],
        "history": [epoch.row(task.score) for epoch in history],
    }
    with replacing(folder.checkpoint, folder.previous) as temporary:
        try:
            torch.save(document, temporary)
        except RuntimeError as error:  # what PyTorch makes of a full disk
            raise UserError(f"cannot write {str(folder.checkpoint)!r}: {error}") from error


def resume(
    folder: RunFolder, settings: Settings, training: Training, score: Score
) -> tuple[list[Epoch], str | None]:
    """Bring a new training to where the folder's was.

    Returns:
        Its epochs, and what is wrong with the last checkpoint if the previous one was taken.

    Raises:
        UserError: there is no checkpoint, all are damaged, or the settings differ.
    """
    problems: list[str] = []
    for path in (folder.checkpoint, folder.previous):
        if not path.exists():
            continue
        try:
            return _restored(path, settings, training, score), next(iter(problems), None)
        except _Damaged as error:
            problems.append(str(error))
    if problems:
        raise UserError(problems[0])
    raise UserError(f"nothing to resume: there is no {str(folder.checkpoint)!r}")


class _Damaged(Exception):
    """A file that no run has written, or not wholly."""


def _restored(path: Path, settings: Settings, training: Training, score: Score) -> list[Epoch]:
    try:
        with zipfile.ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {member}")
        document = torch.load(path, map_location="cpu", weights_only=True)
        _check_settings(path, Settings(**document["settings"]), settings)
        training.restore(document)
        return [Epoch.from_row(epoch, score) for epoch in document["history"]]
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        first_line = str(error).partition("\n")[0]
        raise _Damaged(
            f"{str(path)!r} is damaged, or not a checkpoint of this command:"
            f" {type(error).__name__}: {first_line}"
        ) from error


def _check_settings(path: Path, stored: Settings, settings: Settings) -> None:
    wanted = asdict(settings)
    differing = [
        f"{name} {value!r}, not {wanted[name]!r}"
        for name, value in asdict(stored).items()
        if value != wanted[name]
    ]
    if differing:
        raise UserError(f"cannot resume: {str(path)!r} was made with {'; '.join(differing)}")

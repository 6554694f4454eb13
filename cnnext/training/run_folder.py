"""The folder of a training run: its files, and how they are replaced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cnnext.training.errors import UserError


class RunFolder:
    """Where a run keeps its checkpoint, its log and its results."""

    def __init__(self, path: Path, results_files: Sequence[str]) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.previous = path / "checkpoint.previous.pt"
        self.tensorboard = path / "tensorboard"
        self.log = path / "log.csv"
        self.curves = path / "curves.png"
        self.results = tuple(path / name for name in results_files)

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run leaves, except for what TensorBoard writes."""
        return self.checkpoint, self.previous, self.log, self.curves, *self.results

    def start(self, *, overwrite: bool) -> None:
        """Make the folder, where needed, for a new run.

        Raises:
            UserError: it cannot be written, or holds a run that is not to be overwritten.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            old = [file for file in self.files if file.exists()]
            if old and not overwrite:
                raise UserError(
                    f"{str(self.path)!r} already holds a run ({old[0].name}): continue it with"
                    " --resume, replace it with --overwrite, or choose another folder with --out"
                )
            for file in (*old, *self.tensorboard.glob("events.out.tfevents.*")):
                file.unlink()
            with tempfile.TemporaryFile(dir=self.path):
                pass  # so that no epoch is lost for want of permission


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` in one step if all goes well.

    Args:
        path: the file.
        previous: what becomes of the old file; None if it is not kept.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with explained(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if previous is not None and path.exists():
                os.replace(path, previous)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a UserError that names the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}") from error

"""A training run in its folder: a checkpoint and a line of the log an epoch, then the results."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import reduce
from pathlib import Path

import torch
from tqdm import tqdm

from cnnext.cli.table import format_table
from cnnext.conversion.swap import report
from cnnext.training import checkpoint
from cnnext.training.errors import UserError
from cnnext.training.history import Epoch, plot_curves, write_csv
from cnnext.training.loop import Training
from cnnext.training.processes import Processes
from cnnext.training.run_folder import RunFolder, replacing
from cnnext.training.settings import Settings
from cnnext.training.task import Task
from cnnext.training.tensorboard import epoch_writer
from cnnext.training.transfer import load_weights


class TrainingRun:
    """A training with its epochs so far and the folder that keeps them.

    All processes train; the first alone prints and writes.
    """

    def __init__(
        self, settings: Settings, task: Task, folder: RunFolder, processes: Processes
    ) -> None:
        self._settings = settings
        self._task = task
        self._folder = folder
        self._processes = processes
        self._training = Training(settings, task, processes)
        self._history: list[Epoch] = []

    def start(self) -> None:
        """Take the weights that the run starts from, if they are in a file.

        Raises:
            UserError: the file cannot be read, or holds other weights.
        """
        if self._settings.init is not None:
            remark = load_weights(
                self._training.model, Path(self._settings.init), self._task.classes
            )
            if remark is not None and self._processes.first:
                print(remark)

    def resume(self, epochs: int) -> None:
        """Go on from the folder's checkpoint until `epochs` epochs are done.

        Raises:
            UserError: this run could not have written the checkpoint.
        """
        self._history, problem = checkpoint.resume(
            self._folder, self._settings, self._training, self._task.score
        )
        done = self._training.epochs
        if done > epochs:
            raise UserError(
                f"{str(self._folder.path)!r} has {done} epochs: --epochs {epochs} is too few"
            )
        if problem is not None and self._processes.first:
            print(
                f"{problem}; going on from epoch {done} of {self._folder.previous.name}",
                file=sys.stderr,
            )

    def train(self, epochs: int) -> None:
        """Train until `epochs` epochs are done.

        Raises:
            UserError: the loss is not finite, or a file cannot be written.
        """
        training = self._training
        first = self._processes.first
        with (
            self._keeper() if first else nullcontext() as keep,
            tqdm(
                disable=not first,
                total=epochs * training.steps,
                initial=training.epochs * training.steps,
                bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}",
            ) as bar,
        ):

            def progress(loss: float) -> None:
                bar.set_postfix_str(self._achieved(loss), refresh=False)
                bar.update()

            while training.epochs < epochs:
                bar.set_description_str(f"epoch {training.epochs + 1}/{epochs}", refresh=False)
                epoch = training.epoch(progress)
                if not math.isfinite(epoch.train_loss) or not math.isfinite(epoch.test_loss):
                    raise UserError(f"the loss is not finite in epoch {epoch.epoch}: lower --lr")
                self._history.append(epoch)
                if keep is not None:
                    keep(epoch)
            bar.set_postfix_str(self._achieved(self._history[-1].train_loss))

    @contextmanager
    def _keeper(self) -> Iterator[Callable[[Epoch], None]]:
        """A function that writes the last epoch into the folder."""
        task = self._task
        with epoch_writer(
            self._folder.tensorboard, self._training.epochs, task.score
        ) as write_epoch:

            def keep(epoch: Epoch) -> None:
                checkpoint.save(self._folder, self._settings, self._training, self._history, task)
                self._write_log()
                write_epoch(epoch)

            yield keep

    def finish(self) -> None:
        """Print what the trained model achieves and write the remaining files."""
        self._write_log()  # which an interrupted run may have left an epoch behind its checkpoint
        statistics = reduce(
            torch.add,
            (
                self._task.statistics(outputs, targets)
                for _, outputs, targets in self._training.tested()
            ),
        )
        results = self._task.results(self._training.tested())
        for file, write in zip(self._folder.results, results.writers, strict=True):
            with replacing(file) as path:
                write(path)
        title = f"{self._settings.model} on {self._settings.data}, {self._settings.layers} layers"
        with replacing(self._folder.curves) as path:
            plot_curves(path, self._history, self._task.score, title)
        if (table := results.table) is not None:
            print(f"\n{table.title}\n\n{format_table(table.headers, table.rows)}")
        print(f"\nLayers\n\n{report(self._training.model)}")
        print(f"\nTest {self._task.score.name} {self._task.describe(statistics)}")
        print(f"Written: {', '.join(str(file) for file in self._folder.files if file.exists())}")

    def _achieved(self, loss: float) -> str:
        """The loss, and the test score after the last whole epoch."""
        if not self._history:
            return f"loss {loss:.4g}"
        score = self._task.score
        return f"loss {loss:.4g}, test {score.name} {score.text(self._history[-1].test_score)}"

    def _write_log(self) -> None:
        with replacing(self._folder.log) as path:
            write_csv(path, self._history, self._task.score)

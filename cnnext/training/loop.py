"""A model in training: epochs that another run of the same settings repeats bit by bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cnnext.training import transfer
from cnnext.training.errors import UserError
from cnnext.training.history import Epoch
from cnnext.training.processes import ALONE, Processes
from cnnext.training.settings import LAYERS, OPTIMIZERS, Settings, make_schedule
from cnnext.training.task import Share, Task, Tested

#: Called after each step with the batch's mean loss, before the step; where processes share the
#: batch, that of this one's share.
Progress = Callable[[float], None]


class Training:
    """A model with its optimizer and its batches, between two epochs.

    The initial weights and the batches depend on the seed alone, not on the layers. Seeds PyTorch's
    global generator, from which weights and dropout are drawn.

    Attributes:
        model: the model; where processes share the batches, the same in all of them.
        epochs: how many epochs it has been trained.
    """

    def __init__(self, settings: Settings, task: Task, processes: Processes = ALONE) -> None:
        _check_shares(settings, task, processes)
        torch.manual_seed(settings.seed)
        self._settings = settings
        self._task = task
        self._processes = processes
        self.model: torch.nn.Module = task.build(LAYERS[settings.layers])
        self.epochs = 0
        if settings.freeze is not None:
            transfer.freeze(self.model, settings.freeze)
        self._device = torch.device(settings.device)
        self.model.to(self._device)
        self._parallel = processes.parallel(self.model)
        decay = task.defaults.weight_decay
        self._optimizer = OPTIMIZERS[settings.optimizer](
            [each for each in self.model.parameters() if each.requires_grad],
            lr=settings.lr,
            **({} if decay is None else {"weight_decay": decay}),
        )
        self._schedule = make_schedule(settings, task.defaults, self._optimizer)
        self._on_gpu = self._device.type == "cuda"
        # The narrower range of float16 needs gradients that are scaled.
        self._scaler = torch.amp.GradScaler(settings.device, enabled=settings.amp and self._on_gpu)
        self._autocast = partial(
            torch.autocast,
            settings.device,
            dtype=torch.float16 if self._on_gpu else torch.bfloat16,
            enabled=settings.amp,
        )
        self._generator = torch.Generator().manual_seed(settings.seed)
        size = settings.batch_size if task.batched else None
        self._train = DataLoader(
            task.train, batch_size=size, shuffle=True, generator=self._generator
        )
        self._test = DataLoader(task.test, batch_size=size)
        self._train_share = processes.shared(self._train)
        self._test_share = processes.shared(self._test)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return len(self._train)

    def epoch(self, progress: Progress) -> Epoch:
        """Train on all data once, then test."""
        start = time.perf_counter()
        train_loss, train_score = self._learn(progress)
        test_loss, test_score = self._score()
        self.epochs += 1
        seconds = time.perf_counter() - start
        return Epoch(self.epochs, train_loss, train_score, test_loss, test_score, seconds)

    def tested(self) -> Iterator[Tested]:
        """The test data with what the model makes of them, batch by batch."""
        return self._tested(self._test, self.model)

    def state(self) -> dict[str, Any]:
        """All that the epochs to come depend on."""
        return {
            "epoch": self.epochs,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "generator": self._generator.get_state(),
            "global_generator": torch.get_rng_state(),
            "gpu_generator": torch.cuda.get_rng_state() if self._on_gpu else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state`` of the same settings."""
        self.epochs = state["epoch"]
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if "schedule" in state:
            self._schedule.load_state_dict(state["schedule"])
        else:  # a checkpoint of version 0.1
            for group in self._optimizer.param_groups:
                group["initial_lr"] = self._settings.lr
            self._schedule = make_schedule(
                self._settings, self._task.defaults, self._optimizer, self.epochs - 1
            )
        self._scaler.load_state_dict(state.get("scaler", {}))
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["global_generator"])
        if self._on_gpu:
            torch.cuda.set_rng_state(state["gpu_generator"])

    def _learn(self, progress: Progress) -> tuple[float, float]:
        """Mean loss and score over the epoch, each batch's before its step."""
        self.model.train()
        for norm in transfer.frozen_norms(self.model):
            norm.eval()
        self._processes.seed(self._settings.seed, self.epochs)
        sums = _Sums(self._task, self._processes)
        for share, (*inputs, targets) in zip(
            self._processes.shares(self._train), _read(self._train_share), strict=True
        ):
            self._optimizer.zero_grad()
            inputs = self._placed(self._task.augment(inputs, self._generator, share))
            (targets,) = self._placed([targets])
            with self._autocast():
                outputs = self._trained(inputs)
                loss = self._task.loss(outputs, targets)
            self._scaler.scale(self._processes.weighted(loss, share)).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
            sums.add(loss, outputs.detach(), targets, share)
            progress(loss.item())
        self._schedule.step()
        return sums.means()

    def _trained(self, inputs: list[Tensor]) -> Tensor:
        try:
            return self._parallel(*inputs)
        except ValueError as error:  # of a batch norm that sees a single value
            count = len(inputs[0])
            raise UserError(
                f"--batch-size {self._settings.batch_size} leaves a batch of {count}, which"
                f" {self._settings.model} cannot be trained on: {error}"
            ) from error

    def _placed(self, tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.to(self._device, non_blocking=True) for tensor in tensors]

    def _score(self) -> tuple[float, float]:
        """Mean loss and score on the test data.

        Batch norms have the statistics of the first process, which are those that are stored.
        """
        sums = _Sums(self._task, self._processes)
        for share, (_, outputs, targets) in zip(
            self._processes.shares(self._test),
            self._tested(self._test_share, self._parallel),
            strict=True,
        ):
            sums.add(self._task.loss(outputs, targets), outputs, targets, share)
        return sums.means()

    def _tested(self, loader: DataLoader[Any], model: torch.nn.Module) -> Iterator[Tested]:
        model.eval()
        for *inputs, targets in _read(loader):
            with torch.no_grad(), self._autocast():
                outputs = model(*self._placed(inputs))
            yield Tested(inputs, outputs.float().cpu(), targets)


def _check_shares(settings: Settings, task: Task, processes: Processes) -> None:
    if processes.count == 1:
        return
    if not task.batched:
        raise UserError(
            f"--data {settings.data} is a single sample, which {processes.count} processes cannot"
            " share: run it without torchrun"
        )
    if settings.batch_size % processes.count != 0:
        raise UserError(
            f"--batch-size {settings.batch_size} cannot be shared by {processes.count} processes:"
            f" choose a multiple of {processes.count}"
        )


def _read(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches; a UserError where a file of theirs cannot be read."""
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except OSError as error:
            raise UserError(f"cannot read the data: {error}") from error
        yield batch


class _Sums:
    """The losses and statistics of an epoch, of all processes."""

    def __init__(self, task: Task, processes: Processes) -> None:
        self._task = task
        self._processes = processes
        self._loss, self._count = 0.0, 0
        self._statistics: Tensor | int = 0

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor, share: Share) -> None:
        if share.weight == 0:
            outputs, targets = outputs[:0], targets[:0]
        self._loss += loss.item() * len(targets)
        self._count += len(targets)
        self._statistics = self._statistics + self._task.statistics(outputs, targets)

    def means(self) -> tuple[float, float]:
        assert isinstance(self._statistics, Tensor), "the data are not empty"
        sums = torch.tensor([self._loss, self._count], dtype=torch.float64)
        loss, count = self._processes.summed(sums).tolist()
        return loss / count, self._task.value(self._processes.summed(self._statistics))

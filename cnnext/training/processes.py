"""The processes among which ``torchrun`` shares a training run: their parts of a step, their sums.

Together they take the steps of one process: each has its share of every batch, and gradients are
averaged with the weights that shares of unequal size need.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from cnnext.training.errors import UserError
from cnnext.training.task import Share

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store


@dataclass(frozen=True)
class Processes:
    """All processes of a run, seen by one of them.

    Attributes:
        rank: the number of this process.
        count: how many there are.
        store: what they have in common beside the process group; None for a single one.
    """

    rank: int = 0
    count: int = 1
    store: Store | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes files."""
        return self.rank == 0

    def parallel(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model, with gradients that are the mean over the processes."""
        return model if self.count == 1 else DistributedDataParallel(model)

    def share(self, size: int) -> Share:
        """What this process has of a batch of that size.

        Every process has to take part in a step: one without a sample computes another's, with a
        weight of 0. The first never is that one, as the statistics of its batch norms are kept.
        """
        start, stop = (-(-rank * size // self.count) for rank in (self.rank, self.rank + 1))
        if start == stop:
            return Share(size, 0, 1, 0.0)
        return Share(size, start, stop, (stop - start) * self.count / size)

    def shares(self, loader: DataLoader[Any]) -> Iterator[Share]:
        """What this process has of each batch of ``shared(loader)``."""
        size = loader.batch_size
        total = _length(loader.dataset)
        if size is None:  # one sample is all there is
            yield from (self.share(1) for _ in range(total))
            return
        for start in range(0, total, size):
            yield self.share(min(size, total - start))

    def shared(self, loader: DataLoader[Any]) -> DataLoader[Any]:
        """A loader of this process's share of each batch, drawn as the whole batches are."""
        if self.count == 1:
            return loader
        batches = loader.batch_sampler
        assert isinstance(batches, BatchSampler)
        return DataLoader(
            loader.dataset,
            batch_sampler=_SharedBatches(batches, list(self.shares(loader))),
            generator=loader.generator,
        )

    def weighted(self, loss: Tensor, share: Share) -> Tensor:
        """A share's mean loss, as a summand of the mean over the processes."""
        return loss if self.count == 1 else loss * share.weight

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.count > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def seed(self, seed: int, epoch: int) -> None:
        """Give the others than the first random numbers of their own for an epoch.

        They depend on nothing else, so that a checkpoint need not hold every process's state.
        """
        if not self.first:
            torch.manual_seed(random.Random(f"{seed} {epoch} {self.rank}").getrandbits(63))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def reports(self) -> bool:
        """Whether this process is the first to say why the run ends; the others are silent."""
        if self.store is None:
            return True
        try:
            return self.store.add("reports", 1) == 1
        except dist.DistError:  # torchrun itself is gone
            return self.first


ALONE = Processes()


class _SharedBatches(Sampler[list[int]]):
    """The indices of one process's share of each batch."""

    def __init__(self, batches: BatchSampler, shares: Sequence[Share]) -> None:
        self._batches = batches
        self._shares = shares

    def __iter__(self) -> Iterator[list[int]]:
        for batch, share in zip(self._batches, self._shares, strict=True):
            yield batch[share.rows]

    def __len__(self) -> int:
        return len(self._shares)


def _length(dataset: Dataset[Any]) -> int:
    return len(dataset)  # type: ignore[arg-type]


class _Ended(Exception):
    """torchrun ends this process, mostly since another one is gone."""


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun has started, as a process group; otherwise this one alone.

    Args:
        device: "cpu" or "cuda", where each process has the GPU of its local rank.

    Raises:
        UserError: one of the processes has failed, or there are not enough GPUs.
        SystemExit: the same, where another process says why.
    """
    launched = dist.is_available() and dist.is_torchelastic_launched()
    if not launched or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous  # not in every PyTorch

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _end)
    backend = "gloo"
    if device == "cuda" and torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
    store, rank, count = next(rendezvous("env://"))
    processes = Processes(rank, count, store)
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
        if backend != "gloo":
            _choose_gpu()
        yield processes
        processes.wait()  # torchrun ends all once one has ended badly: the first may still write
    except (UserError, RuntimeError, _Ended) as error:
        _ignore_signals()
        if isinstance(error, RuntimeError) and not _is_of_the_group(error):
            raise
        if not processes.reports():
            raise SystemExit(2) from error
        if isinstance(error, UserError):
            raise
        if not processes.first:
            print(file=sys.stderr)  # the first, which is gone, has left its bar without an end
        raise UserError(
            "another process of this job has ended, or torchrun was told to end:"
            " --resume goes on from the last whole epoch, if there is one"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _choose_gpu() -> None:
    """Compute on the GPU of the local rank."""
    local_rank, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= there:
        count = os.environ["LOCAL_WORLD_SIZE"]
        raise UserError(f"{count} processes need as many GPUs: there are {there}")
    torch.cuda.set_device(local_rank)


def _is_of_the_group(error: RuntimeError) -> bool:
    """Whether a collective has failed, since another process has left it."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    _ignore_signals()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _Ended


def _ignore_signals() -> None:
    """Once is enough: torchrun sends its own where others have been sent already."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)

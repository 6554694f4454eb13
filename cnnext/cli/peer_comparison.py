"""One network measured as ``bench --peers`` does it: right results first, then time and memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnext.cli import subjects
from cnnext.cli.implementations import CHANNELS_LAST, Call, Export, Implementation
from cnnext.cli.peer_worker import Worker, WorkerError
from cnnext.cli.results import Row
from cnnext.testing.errors import check_contract
from cnnext.testing.timing import (
    Block,
    alternating,
    collector_off,
    memory_growth,
    run_block,
    summarize,
)

BLOCKS = 5
BLOCK_S = 0.2

#: Largest error of a peer over the largest output of float64. Ours keep the numerics contract.
PEER_TOLERANCE = 1e-3


#: What is known of an implementation that has started; ``compare_peers`` says what each is.
STARTED = ("error", "prepare_s", "first_call_s", "resident_bytes", "peak_bytes")

_SEED = 0


@dataclass(frozen=True)
class Task:
    """What all implementations compute: a network of a batch of images, the same in every process.

    Files that some start from are in the ``folder``.
    """

    model: str
    batch: int
    threads: int
    folder: Path

    def images(self) -> Tensor:
        return subjects.seeded_images(self.model, self.batch, _SEED)

    def network(self) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            return subjects.build(self.model)(torch.nn).eval()


class Runner:
    """An implementation at its task: what a worker is asked."""

    def __init__(self, implementation: Implementation, task: Task) -> None:
        self._prepare, self._export = implementation.prepare, implementation.export
        self._packages = implementation.packages
        self._task = task
        self._images: Tensor | None = None  # some runtimes keep no more than its address
        self._call: Call | None = None

    def export(self) -> None:
        if self._export is not None:
            self._export(self._task.network(), self._task.images(), self._task.folder)

    def start(self, output: Path) -> Row:
        """Set the network up, call it once, and write the result; seconds and bytes of both."""
        torch.set_num_threads(self._task.threads)
        for package in self._packages:
            import_module(package)
        images = self._images = self._task.images()
        clock: list[float] = []
        results: list[Any] = []

        def start() -> None:
            source = self._task.network() if self._export is None else self._task.folder
            with torch.no_grad():
                clock.append(time.perf_counter())
                self._call = self._prepare(source, images)
                clock.append(time.perf_counter())
                results.append(self._call())
                clock.append(time.perf_counter())

        growth = memory_growth(start)
        if growth is None:
            start()
        torch.save(_tensor(results[0]), output)
        return {
            "prepare_s": clock[1] - clock[0],
            "first_call_s": clock[2] - clock[1],
            "resident_bytes": growth and growth.resident,
            "peak_bytes": growth and growth.peak,
        }

    def block(self, seconds: float) -> Block:
        assert self._call is not None, "asked for a block before the start"
        with torch.no_grad(), collector_off():
            return run_block(self._call, min_block_s=seconds)


def _tensor(result: Any) -> Tensor:
    if isinstance(result, list):
        return torch.stack([torch.as_tensor(each) for each in result])
    return torch.as_tensor(result)


class _WrongResult(Exception):
    """How a result differs from the reference."""


class _Reference:
    """The result in float64, and how far from it an implementation's may be."""

    def __init__(self, task: Task) -> None:
        network, images = task.network(), task.images()
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.weight_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
        with torch.no_grad():
            nchw = network(images)
            channels_last = network.to(**CHANNELS_LAST)(images.contiguous(**CHANNELS_LAST))
            self._native = (nchw, channels_last)
            self._exact = network.double()(images.double())

    def error(self, output: Tensor, *, ours: bool) -> float:
        """The largest error over the largest output.

        Raises:
            _WrongResult: it is larger than it may be.
        """
        try:
            verdicts = [check_contract(output, native, self._exact) for native in self._native]
        except AssertionError as error:
            raise _WrongResult(str(error)) from None
        relative = verdicts[0].ours.relative
        if ours and not any(verdict.ok for verdict in verdicts):
            raise _WrongResult(f"it breaks the numerics contract:\n{verdicts[0]}")
        if not relative <= PEER_TOLERANCE:
            raise _WrongResult(
                f"the error is {relative:.1e} of the largest output, the limit {PEER_TOLERANCE:g}"
            )
        return relative


def compare_peers(
    model: str,
    batch: int,
    implementations: Sequence[Implementation],
    *,
    threads: int,
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> Row:
    """Set all implementations up for a model, check their results, and time those that are right.

    Args:
        model: one of ``subjects.names()``.
        batch: images in the batch.
        implementations: who takes part.
        threads: threads that each may use.
        environment: variables for their processes.
        progress: called with a few words after each step; each implementation has ``BLOCKS + 1``.

    Returns:
        The row: ``model``, ``batch``, ``input`` (its shape), ``parameters``, ``weight_bytes``
        (theirs and the buffers') and, by name, ``implementations``: ``ours``, ``failure`` (None, or
        why there are no times), ``error`` (the largest, over the largest output), ``prepare_s`` and
        ``first_call_s``, the ``resident_bytes`` and ``peak_bytes`` that the native network, where
        it starts from that, and these two have added to a process that has imported PyTorch and
        the runtime, and ``times``; None where not measured.
    """
    with tempfile.TemporaryDirectory(prefix="cnnext-") as path, ExitStack() as stack:
        folder = Path(path)
        # What a compiler has kept from another run would shorten its first call.
        environment = {**environment, "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        task = Task(model, batch, threads, folder)
        reference = _Reference(task)
        exported: _Exported = {}
        entries = {each.name: _Entry(each, task, environment) for each in implementations}
        for name, entry in entries.items():
            stack.callback(entry.close)
            entry.start(reference, exported)
            progress(f"{name} started")
        for name in alternating(list(entries), BLOCKS):
            entries[name].run_block()
            progress(name)
        return {
            "model": model,
            "batch": batch,
            "input": list(task.images().shape),
            "parameters": reference.parameters,
            "weight_bytes": reference.weight_bytes,
            "implementations": {name: entry.row() for name, entry in entries.items()},
        }


#: Why the files of an export could not be written, None if they were, by its function.
_Exported = dict[Export, str | None]


class _Entry:
    """One implementation's part in a comparison, which a failure ends."""

    def __init__(
        self, implementation: Implementation, task: Task, environment: Mapping[str, str]
    ) -> None:
        self._implementation = implementation
        self._task = task
        self._environment = environment
        self._worker: Worker | None = None
        self._failure: str | None = None
        self._started: Row = dict.fromkeys(STARTED)
        self._blocks: list[Block] = []

    def start(self, reference: _Reference, exported: _Exported) -> None:
        output = self._task.folder / f"{self._implementation.name}.pt"
        with self._attempt():
            self._export(exported)
            self._worker = self._new_worker("run")
            self._started |= self._worker.ask("start", output=output)
            self._started["error"] = reference.error(
                torch.load(output), ours=self._implementation.ours
            )

    def run_block(self) -> None:
        if self._worker is not None:
            with self._attempt():
                self._blocks.append(self._worker.ask("block", seconds=BLOCK_S))

    def row(self) -> Row:
        times = None
        if self._failure is None:
            calls = sum(block.n for block in self._blocks)
            times = asdict(summarize([block.median for block in self._blocks], calls))
        return {
            "ours": self._implementation.ours,
            "failure": self._failure,
            **self._started,
            "times": times,
        }

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            yield
        except _WrongResult as error:
            self._failure = f"wrong result: {error}"
            self.close()
        except WorkerError as error:
            self._failure = str(error)
            self.close()

    def _new_worker(self, purpose: str) -> Worker:
        return Worker(
            Runner(self._implementation, self._task),
            environment=self._environment,
            log=self._task.folder / f"{self._implementation.name}-{purpose}.log",
        )

    def _export(self, exported: _Exported) -> None:
        """Have the files written that it starts from, unless another did."""
        export = self._implementation.export
        if export is None:
            return
        if export not in exported:
            exported[export] = None
            with closing(self._new_worker("export")) as worker:
                try:
                    worker.ask("export")
                except WorkerError as error:
                    exported[export] = f"the network cannot be exported: {error}"
        if (failure := exported[export]) is not None:
            raise WorkerError(failure)

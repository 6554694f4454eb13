"""``train`` in two processes of torchrun: what one process learns, and how the two end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from cnnext import cli
from cnnext.testing.timing import torch_threads
from cnnext.training import catalog, loop
from cnnext.training.classification import shifted
from cnnext.training.errors import UserError
from cnnext.training.processes import ALONE, Processes
from cnnext.training.settings import Settings
from tests.cli.training_runs import assert_same_run, load, log

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

_ROOT = Path(__file__).parents[2]
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
_TRAIN = ("-m", "cnnext", "train")
_ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}

# 21 steps an epoch; the last has 27 images, 14 for one process and 13 for the other.
# With larger learning rates steps amplify what rounding differs by, as those of native layers do.
SGD = ("lenet5", "--optimizer", "sgd", "--lr", 0.01, "--batch-size", 66)


def launch(*options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, *_TORCHRUN, *_TRAIN, *map(str, options)),
        cwd=_ROOT,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained(out: Path, *options: object, processes: int = 2) -> Path:
    options = (*options, "--out", out)
    if processes == 1:
        with torch_threads(1):
            assert cli.main(["train", *map(str, options)]) == 0
    else:
        finished = launch(*options)
        aborted = "terminate called without an active exception" in finished.stderr
        if aborted and "--resume" not in options:
            # A process was done, and its end met a thread of torch's: once in a hundred runs.
            shutil.rmtree(out)
            finished = launch(*options)
        assert finished.returncode == 0, finished.stderr
    return out


def refused(*options: object) -> str:
    """The sentence of the one process that says why."""
    finished = launch(*options)
    assert finished.returncode != 0
    (line,) = (line for line in finished.stderr.splitlines() if line.startswith("cnnext: "))
    return line


def assert_close_runs(out: Path, other: Path) -> None:
    """The same samples in the same steps, summed in another order."""
    a, b = load(out), load(other)
    assert a["settings"] == b["settings"]
    torch.testing.assert_close(a["model"], b["model"], rtol=0, atol=1e-5)
    generators = ("generator", "global_generator")
    assert all(torch.equal(a[each], b[each]) for each in generators)
    for row, other_row in zip(log(out), log(other), strict=True):
        assert row == pytest.approx(other_row, rel=1e-4)


# What each process does, without another.


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 27, 42])
def test_shares_are_the_batch(count: int, size: int) -> None:
    batch = list(range(size))
    shares = [Processes(rank, count).share(size) for rank in range(count)]
    assert sum((batch[share.rows] for share in shares if share.weight), []) == batch
    assert all(batch[share.rows] for share in shares)  # each has something to compute
    assert shares[0].weight > 0
    assert {share.size for share in shares} == {size}
    # The mean of the weighted means is the mean of all.
    values = torch.randn(size, dtype=torch.float64)
    means = [share.weight * values[share.rows].mean() for share in shares]
    torch.testing.assert_close(sum(means) / count, values.mean())


def test_one_process_has_all() -> None:
    loader = DataLoader([0, 1, 2], batch_size=2)  # type: ignore[arg-type]
    assert ALONE.shared(loader) is loader
    assert [(share.rows, share.weight) for share in ALONE.shares(loader)] == [
        (slice(0, 2), 1.0),
        (slice(0, 1), 1.0),
    ]


def test_loaders_read_their_shares_alone() -> None:
    numbers = list(range(11))
    sampler = BatchSampler(SequentialSampler(numbers), 4, drop_last=False)
    whole = DataLoader(numbers, batch_size=4)  # type: ignore[arg-type]
    parts = [list(Processes(rank, 2).shared(whole)) for rank in (0, 1)]
    assert [torch.cat(pair).tolist() for pair in zip(*parts, strict=True)] == list(sampler)


def test_shares_are_augmented_as_the_batch_is() -> None:
    images = torch.randn(7, 1, 9, 9)
    generators = [torch.Generator().manual_seed(0) for _ in range(3)]
    shares = [Processes(rank, 2).share(7) for rank in (0, 1)]
    parts = [
        shifted(images[share.rows], 2, generator, share)
        for share, generator in zip(shares, generators[1:], strict=True)
    ]
    assert torch.equal(torch.cat(parts), shifted(images, 2, generators[0]))
    assert len({tuple(generator.get_state().tolist()) for generator in generators}) == 1


def test_dropout_differs_between_processes_and_is_repeatable() -> None:
    def draws(rank: int, epoch: int) -> list[float]:
        torch.manual_seed(0)
        Processes(rank, 3).seed(0, epoch)
        return torch.rand(3).tolist()

    with torch.random.fork_rng():
        drawn = [draws(rank, epoch) for rank in (0, 1, 2) for epoch in (0, 1)]
        assert drawn[0] == drawn[1]  # the first keeps its state
        assert len(set(map(tuple, drawn))) == 5
        assert drawn[-1] == draws(2, 1)


def test_single_sample_is_refused() -> None:
    task = catalog.TASKS["karate"]("gcn", None)
    options = Settings("gcn", "karate", "cnnext", 1, "adam", 0.01, 0)
    with pytest.raises(UserError, match="--data karate is a single sample, which 2 processes cann"):
        loop.Training(options, task, Processes(0, 2))


# Two processes.


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", *SGD, "--epochs", 1, processes=1)
    two = trained(tmp_path / "two", *SGD, "--epochs", 1)
    assert_close_runs(one, two)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    for out in (one, two):  # each goes on where the other was
        (out / "checkpoint.pt").rename(out / "kept.pt")
    (one / "kept.pt").rename(two / "checkpoint.pt")
    (two / "kept.pt").rename(one / "checkpoint.pt")
    trained(one, *SGD, "--epochs", 2, "--resume", processes=1)
    trained(two, *SGD, "--epochs", 2, "--resume")
    assert_close_runs(one, two)


def test_a_step_with_fewer_samples_than_processes(tmp_path: Path) -> None:
    """There are 1347 digits to learn from: the last step has one."""
    options = ("mlp", "--optimizer", "sgd", "--lr", 0.05, "--batch-size", 1346, "--epochs", 1)
    one = trained(tmp_path / "one", *options, processes=1)
    assert_close_runs(one, trained(tmp_path / "two", *options))


def test_refused_by_one_sentence(tmp_path: Path) -> None:
    message = refused("lenet5", "--batch-size", 33, "--out", tmp_path / "out")
    assert "--batch-size 33 cannot be shared by 2 processes: choose a multiple of 2" in message
    assert list(tmp_path.iterdir()) == []


@contextmanager
def running(out: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
    """A run after its first epoch."""
    process = subprocess.Popen(
        (sys.executable, *_TORCHRUN, *_TRAIN, *map(str, options), "--out", str(out)),
        cwd=_ROOT,
        env=_ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # The tests may run in the background of a shell, where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # its workers, too
            process.communicate(timeout=120)


def worker(launcher: subprocess.Popen[str], rank: int) -> int:
    """The process of a rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    (found,) = (
        child
        for child in children
        if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0")
    )
    return int(found)


@pytest.mark.slow
def test_killed_worker_ends_the_run_which_resumes_exactly(tmp_path: Path) -> None:
    """With batch norms and dropout, whose states differ between processes."""
    options = ("fashion_cnn", "--batch-size", 64)
    parts = tmp_path / "parts"
    with running(parts, *options, "--epochs", 999) as process:
        os.kill(worker(process, 1), signal.SIGKILL)
        _, text = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert text.count("cnnext: another process of this job has ended") == 1
    assert "training_run.py" not in text  # no traceback but torchrun's own
    epochs = load(parts)["epoch"] + 1
    trained(parts, *options, "--epochs", epochs, "--resume")
    assert_same_run(parts, trained(tmp_path / "whole", *options, "--epochs", epochs))


@pytest.mark.slow
def test_ctrl_c_ends_all(tmp_path: Path) -> None:
    with running(tmp_path, "lenet5", "--epochs", 999) as process:
        workers = [worker(process, rank) for rank in (0, 1)]
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert not any(Path(f"/proc/{each}").exists() for each in workers)
    assert text.count("Interrupted. Continue with") == 1
    assert "torchrun --nproc-per-node 2 -m cnnext train lenet5 " in text
    assert "training_run.py" not in text
    assert load(tmp_path)["epoch"] >= 1


@pytest.mark.slow
def test_a_run_is_not_destroyed_unasked(tmp_path: Path) -> None:
    """What the first process alone sees."""
    trained(tmp_path, "mlp", "--epochs", 1)
    assert "already holds a run" in refused("mlp", "--epochs", 1, "--out", tmp_path)

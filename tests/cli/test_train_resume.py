"""An interrupted ``train`` goes on as if it never stopped."""

import itertools
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch

from cnnext import cli, models
from cnnext.training import classification
from cnnext.training.settings import OPTIMIZERS
from tests.cli.training_runs import FILES, assert_same_run, command, load, log

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@contextmanager
def interrupted_after(steps):
    """Ctrl-C comes in the step after the first `steps`."""
    shifted, count = classification.shifted, itertools.count(1)

    def counting(*args):
        if next(count) > steps:
            raise KeyboardInterrupt
        return shifted(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "shifted", counting)
        yield


def assert_resumes_exactly(tmp_path, *options):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, *options, "--epochs", 3) == 0
    assert command(parts, *options, "--epochs", 1) == 0
    assert command(parts, *options, "--epochs", 3, "--resume") == 0
    assert_same_run(whole, parts)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_is_as_if_never_interrupted(optimizer, few_digits, tmp_path):
    assert_resumes_exactly(tmp_path, "--optimizer", optimizer)


def test_dropout_is_resumed_too(few_digits, tmp_path, monkeypatch):
    def with_dropout(num_classes, layers):
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Dropout(), layers.Linear(1024, num_classes)
        )

    monkeypatch.setattr(models, "lenet5", with_dropout)
    assert_resumes_exactly(tmp_path)


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_resume(few_digits, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "with space"
    options = ("--epochs", 3, "--seed", 7, "--optimizer", "sgd", "--lr", 0.01)
    assert command(whole, *options) == 0
    with interrupted_after(5):
        assert command(parts, *options) == 130
    assert load(parts)["epoch"] == len(log(parts)) == 1
    *_, hint = capsys.readouterr().err.strip().splitlines()
    python, dash_m, package, *arguments = shlex.split(hint)
    assert (python, dash_m, package) == ("python", "-m", "cnnext")
    assert cli.main(arguments) == 0
    assert_same_run(whole, parts)


def test_ctrl_c_in_the_first_epoch_leaves_nothing(few_digits, out, capsys):
    with interrupted_after(1):
        assert command(out) == 130
    assert "nothing to resume" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_ends_the_process(out):
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnext", "train", "lenet5", "--epochs", "999", "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # The tests may run in the background of a shell, where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not (out / "checkpoint.pt").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in text
    assert "--resume" in text.splitlines()[-1]
    assert len(load(out)["history"]) == load(out)["epoch"] >= 1


def test_write_that_fails_leaves_the_last_checkpoint(few_digits, out, monkeypatch, capsys):
    assert command(out, "--epochs", 1) == 0
    before = (out / "checkpoint.pt").read_bytes()

    def full(document, path):
        path.write_bytes(b"half a check")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    assert command(out, "--epochs", 2, "--resume") == 2
    assert "file write failed" in capsys.readouterr().err.splitlines()[-1]
    assert (out / "checkpoint.pt").read_bytes() == before
    assert {path.name for path in out.iterdir()} == FILES


def test_finished_run_shows_its_result_again(few_digits, out, capsys):
    assert command(out, "--epochs", 1) == 0
    first = capsys.readouterr().out
    (out / "curves.png").unlink()
    assert command(out, "--epochs", 1, "--resume") == 0
    assert capsys.readouterr().out == first
    assert {path.name for path in out.iterdir()} == FILES

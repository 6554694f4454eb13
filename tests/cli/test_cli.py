"""The command line as a whole: help, and one clear sentence for every mistake."""

import subprocess
import sys

import pytest

import cnnext
from cnnext import cli
from cnnext.cli import arguments

COMMANDS = ("compare", "bench", "train", "summary", "env")


@pytest.mark.parametrize("argv", [[], *([command] for command in COMMANDS)])
def test_help(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*argv, "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['cnnext', *argv])}")


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["env", "--colour"], "unrecognized arguments: --colour"),
        (["compare", "--batch", "0"], "--batch: must be a positive integer, got '0'"),
        (["compare", "--batch", "two"], "--batch: must be a positive integer, got 'two'"),
        (["compare", "--threads", "-1"], "--threads"),
        (["bench", "--threads", "99999999999"], "--threads: must be at most"),
        (["compare", "--json", "no/such/folder/file"], "'no/such/folder' does not exist"),
        (["compare", "--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["compare", "--cuda-backend", "own"], "--cuda-backend: only valid with --device cuda"),
        (["compare", "--cuda-backend", "best"], "--cuda-backend: invalid choice: 'best'"),
        (["compare", "--plot", "."], "--plot: '.' is a folder"),
        (["bench", "--op", "conv9d"], "invalid choice: 'conv9d'"),
        (["bench", "--mode", "sideways"], "invalid choice: 'sideways'"),
        (["summary"], "the following arguments are required: MODEL"),
        (["summary", "lenet5", "--batch", "0"], "--batch: must be a positive integer, got '0'"),
        (["summary", "lenet5", "--size", "5x"], "--size: must be a size such as 224 or 32x256"),
        (["summary", "lenet5", "--size", "0"], "--size: must be a size such as 224 or 32x256"),
        (["train"], "the following arguments are required: MODEL"),
        (["train", "lenet5", "--data", "letters"], "--data: invalid choice: 'letters'"),
        (["train", "lenet5", "--epochs", "0"], "--epochs: must be a positive integer, got '0'"),
        (["train", "lenet5", "--batch-size", "0"], "--batch-size: must be a positive integer"),
        (["train", "lenet5", "--lr", "nan"], "--lr: must be a positive number, got 'nan'"),
        (["train", "lenet5", "--lr", "inf"], "--lr: must be a positive number, got 'inf'"),
        (["train", "lenet5", "--lr", "0"], "--lr: must be a positive number, got '0'"),
        (["train", "lenet5", "--lr", "-1"], "--lr: must be a positive number, got '-1'"),
        (["train", "lenet5", "--lr", "fast"], "--lr: must be a positive number, got 'fast'"),
        (["train", "lenet5", "--seed", "-1"], "--seed: must be an integer from 0 to 2^63 - 1"),
        (["train", "lenet5", "--seed", str(2**63)], "--seed: must be an integer from 0 to"),
        (["train", "lenet5", "--optimizer", "lbfgs"], "--optimizer: invalid choice: 'lbfgs'"),
        (["train", "lenet5", "--layers", "jax"], "--layers: invalid choice: 'jax'"),
        (["train", "lenet5", "--schedule", "none"], "--schedule: invalid choice: 'none'"),
        (["train", "lenet5", "--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["train", "lenet5", "--freeze", "0"], "--freeze: must be a positive integer, got '0'"),
        (["train", "lenet5", "--resume", "--overwrite"], "not allowed with argument --resume"),
    ],
)
def test_bad_arguments_exit_with_2_and_one_line(argv, part, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert part in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["compare", "lenet6"], "unknown model 'lenet6': choose from"),
        (["compare", "lenet5", "--plot", "speed.txt"], "must end in .png, .svg or .pdf"),
        (["bench", "--op", "relu", "--case", "none*"], "no case of relu matches 'none*'"),
    ],
)
def test_impossible_requests_return_2_and_one_line(argv, part, capsys):
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert captured.err.count("\n") == 1


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"cnnext {cnnext.__version__}\n"


def test_broken_demo_package_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("from os import no_such_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(arguments.UserError, match="cannot be imported: .*no_such_name"):
        arguments.demo_module("broken_package")


def test_missing_demo_package_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(arguments.UserError, match=r'pip install "cnnext\[demo\]"'):
        arguments.demo_module("sklearn")


def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "cnnext", "frobnicate"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr.startswith("cnnext: ")

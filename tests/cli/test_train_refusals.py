"""What ``train`` refuses, each with one clear sentence and no harm done."""

import sys

import pytest
import torch

from cnnext import cli
from cnnext.cli.arguments import UserError
from cnnext.training import catalog, checkpoint, loop, run_folder
from cnnext.training.settings import Settings
from tests.cli.training_runs import command, load, settings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


def refused(capsys, out, *options):
    capsys.readouterr()
    assert command(out, *options) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cnnext: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_run_is_not_destroyed_unasked(few_digits, out, capsys):
    assert command(out, "--epochs", 1) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = refused(capsys, out, "--epochs", 1, "--seed", 1)
    assert all(word in message for word in ("already holds a run", "--resume", "--overwrite"))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert command(out, "--epochs", 1, "--seed", 1, "--overwrite") == 0
    assert load(out)["settings"]["seed"] == 1


def test_overwriting_leaves_other_files_alone(few_digits, out):
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    assert command(out, "--epochs", 1, "--overwrite") == 0
    assert (out / "notes.txt").read_text() == "mine"


def test_nothing_to_resume(few_digits, out, capsys):
    assert "nothing to resume" in refused(capsys, out, "--resume")
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--seed", 1], "seed 0, not 1"),
        (["--batch-size", 16], "batch_size 32, not 16"),
        (["--optimizer", "sgd"], "optimizer 'adam', not 'sgd'"),
        (["--lr", 0.5], "lr 0.002, not 0.5"),
        (["--layers", "torch"], "layers 'cnnext', not 'torch'"),
        (["--epochs", 1], "has 2 epochs: --epochs 1 is too few"),
    ],
)
def test_other_settings_are_not_resumed(options, part, few_digits, out, capsys):
    assert command(out, "--epochs", 2) == 0
    assert part in refused(capsys, out, "--epochs", 3, "--resume", *options)


def test_other_model_is_not_resumed(few_digits, out):
    task = catalog.TASKS["digits"]("lenet5", None)
    run = loop.Training(settings(), task)
    out.mkdir(parents=True)
    checkpoint.save(out / "checkpoint.pt", settings(), run, [], task.score)
    other = Settings(**{**vars(settings()), "model": "vgg11", "data": "letters"})
    with pytest.raises(UserError, match="model 'lenet5', not 'vgg11'; data 'digits', not 'letter"):
        checkpoint.resume(out / "checkpoint.pt", other, run, task.score)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def another_file(path):
    torch.save({"weight": torch.zeros(3)}, path)


def other_weights(path):
    document = torch.load(path, weights_only=True)
    del document["model"]["features.0.weight"]
    torch.save(document, path)


def unsafe_pickle(path):
    torch.save({"settings": print}, path)


def folder_instead(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        flipped_bit,
        emptied,
        another_file,
        other_weights,
        unsafe_pickle,
        folder_instead,
    ],
)
def test_damaged_checkpoint_is_not_resumed(damage, few_digits, out, capsys):
    assert command(out, "--epochs", 1) == 0
    damage(out / "checkpoint.pt")
    message = refused(capsys, out, "--epochs", 2, "--resume")
    assert "checkpoint.pt' is damaged, or not a checkpoint of this command" in message


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("lenet6", "unknown model 'lenet6': choose from alexnet, "),
        ("bottleneck", "unknown model 'bottleneck'"),
        ("crnn", "crnn does not classify images: its output is 7 x 1 x 10, not 1 x 10"),
        ("unet", "unet does not classify images: its output is 1 x 10 x 32 x 32, not 1 x 10"),
        ("gcn", "gcn does not take inputs of 1 x 32 x 32: "),
        ("simple_rnn", "simple_rnn does not take inputs of 1 x 32 x 32: "),
    ],
)
def test_model_that_does_not_fit(model, part, few_digits, out, capsys):
    assert cli.main(["train", model, "--out", str(out)]) == 2
    assert part in capsys.readouterr().err
    assert not out.exists()


def test_folder_that_is_a_file(few_digits, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "cannot write" in refused(capsys, tmp_path / "file")
    assert "cannot write" in refused(capsys, tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_folder_that_cannot_be_written(few_digits, out, monkeypatch, capsys):
    def read_only(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_folder.tempfile, "TemporaryFile", read_only)
    assert refused(capsys, out).endswith(f"cannot write {str(out)!r}: Permission denied")


def test_loss_that_explodes_ends_the_run(few_digits, out, capsys):
    options = ("--optimizer", "sgd", "--lr", "1e30")
    assert "the loss is not finite in epoch 1: lower --lr" in refused(capsys, out, *options)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("module", ["sklearn.metrics", "sklearn.datasets", "matplotlib.figure"])
def test_missing_package_is_one_sentence(module, out, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert 'pip install "cnnext[demo]"' in refused(capsys, out)
    assert not out.exists()

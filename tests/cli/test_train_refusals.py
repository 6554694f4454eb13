"""What ``train`` refuses, each with one clear sentence and no harm done."""

import sys

import pytest
import torch
from torch.utils.data import TensorDataset

from cnnext import cli
from cnnext.cli import training_run
from cnnext.cli.arguments import UserError
from cnnext.training import catalog, checkpoint, classification, loop, run_folder
from cnnext.training.fitting import Split
from cnnext.training.settings import Settings
from tests.cli.training_runs import assert_same_run, command, load, settings

pytest.importorskip("sklearn")
figure = pytest.importorskip("matplotlib.figure")


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
    folder = run_folder.RunFolder(out, task.results_files)
    checkpoint.save(folder, settings(), run, [], task)
    other = Settings(**{**vars(settings()), "model": "vgg11", "data": "letters"})
    with pytest.raises(UserError, match="model 'lenet5', not 'vgg11'; data 'digits', not 'letter"):
        checkpoint.resume(folder, other, run, task.score)


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


DAMAGES = (
    truncated,
    flipped_bit,
    emptied,
    another_file,
    other_weights,
    unsafe_pickle,
    folder_instead,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_not_resumed(damage, few_digits, out, capsys):
    assert command(out, "--epochs", 1) == 0
    damage(out / "checkpoint.pt")
    message = refused(capsys, out, "--epochs", 2, "--resume")
    assert "checkpoint.pt' is damaged, or not a checkpoint of this command" in message


@pytest.mark.parametrize("damage", DAMAGES[:-1])
def test_previous_checkpoint_is_resumed_where_the_last_is_damaged(
    damage, few_digits, tmp_path, capsys
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, "--epochs", 3) == 0
    assert command(parts, "--epochs", 2) == 0
    damage(parts / "checkpoint.pt")
    capsys.readouterr()
    assert command(parts, "--epochs", 3, "--resume") == 0
    assert_same_run(whole, parts)
    told = [line for line in capsys.readouterr().err.splitlines() if "is damaged" in line]
    assert len(told) == 1
    assert told[0].endswith("going on from epoch 1 of checkpoint.previous.pt")


def test_crash_between_two_renames_is_resumed(few_digits, tmp_path):
    """The old checkpoint has its new name, and the new one not yet."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, "--epochs", 2) == 0
    assert command(parts, "--epochs", 1) == 0
    (parts / "checkpoint.pt").rename(parts / "checkpoint.previous.pt")
    assert command(parts, "--epochs", 2, "--resume") == 0
    assert_same_run(whole, parts)


def test_two_damaged_checkpoints_are_not_resumed(few_digits, out, capsys):
    assert command(out, "--epochs", 2) == 0
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        truncated(out / name)
    assert "checkpoint.pt' is damaged" in refused(capsys, out, "--epochs", 3, "--resume")


def test_previous_checkpoint_of_other_settings_is_not_resumed(few_digits, out, capsys):
    assert command(out, "--epochs", 2) == 0
    truncated(out / "checkpoint.pt")
    assert "seed 0, not 1" in refused(capsys, out, "--epochs", 3, "--resume", "--seed", 1)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (torch, "save"),
        (training_run, "write_csv"),
        (training_run, "plot_curves"),
        (classification, "write_table"),
        (figure.Figure, "savefig"),
    ],
)
def test_full_disk_loses_no_epoch(module, name, few_digits, tmp_path, monkeypatch, capsys):
    """Whatever is written at the time."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, "--epochs", 2) == 0
    assert command(parts, "--epochs", 1) == 0

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        message = refused(capsys, parts, "--epochs", 2, "--resume")
    assert message.startswith("cnnext: cannot write ")
    assert message.endswith(": No space left on device")
    assert load(parts)["epoch"] >= 1
    assert command(parts, "--epochs", 2, "--resume") == 0
    assert_same_run(whole, parts)


def test_run_that_explodes_keeps_its_last_good_epoch(few_digits, out, monkeypatch, capsys):
    assert command(out, "--epochs", 1) == 0
    before = (out / "checkpoint.pt").read_bytes()
    loss = classification.Classification.loss
    monkeypatch.setattr(
        classification.Classification, "loss", lambda *arguments: loss(*arguments) * float("nan")
    )
    message = refused(capsys, out, "--epochs", 2, "--resume")
    assert "the loss is not finite in epoch 2: lower --lr" in message
    assert (out / "checkpoint.pt").read_bytes() == before


def test_label_out_of_range(digits):
    task = catalog.TASKS["digits"]("lenet5", None)
    images, _ = digits.train[:2]
    task.train = TensorDataset(images, torch.tensor([3, 10]))
    with pytest.raises(UserError, match="--data has the label 10: expected 0 to 9"):
        loop.Training(settings(), task).epoch(lambda loss: None)


def test_batch_of_one_for_a_batch_norm(digits):
    task = catalog.TASKS["digits"]("resnet18", None)
    images, labels = digits.train[:1]
    task.train = TensorDataset(images.expand(1, 3, 32, 32), labels)
    options = Settings("resnet18", "digits", "torch", 32, "adam", 1e-3, 0)
    with pytest.raises(UserError, match="--batch-size 32 leaves a batch of 1, which resnet18 cann"):
        loop.Training(options, task).epoch(lambda loss: None)


def test_data_that_are_empty():
    images = torch.zeros(0, 1, 32, 32)
    few = TensorDataset(images, torch.zeros(0))
    with pytest.raises(UserError, match="--data has nothing to learn from"):
        Split(few, few)


def test_data_that_cannot_be_read(few_digits, monkeypatch):
    def broken(self, index):
        raise OSError("cannot identify image file 'cat.jpg'")

    task = catalog.TASKS["digits"]("lenet5", None)
    monkeypatch.setattr(TensorDataset, "__getitem__", broken)
    with pytest.raises(UserError, match="cannot read the data: cannot identify image file 'cat"):
        loop.Training(settings(), task).epoch(lambda loss: None)


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

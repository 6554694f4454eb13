"""``train`` learns, like its native counterpart, and shows and stores what it has learned."""

import csv
import io
import statistics

import numpy
import pytest
import torch

import cnnext.nn
from cnnext import cli, models
from cnnext.testing.timing import torch_threads
from cnnext.training import catalog, loop
from cnnext.training.classification import confusion_figure, shifted
from cnnext.training.settings import LAYERS, OPTIMIZERS
from tests.cli.training_runs import FILES, TEST_SIZE, assert_same_run, command, load, log, settings

pytest.importorskip("sklearn")
text = pytest.importorskip("matplotlib.text")


@pytest.fixture(autouse=True)
def _one_thread():
    """Batches this small gain nothing from a second, and lose much on a busy machine."""
    with torch_threads(1):
        yield


# What is learned.


def accuracy(out, *options):
    assert command(out, *options) == 0
    return log(out)[-1]["test_accuracy"]


def test_learns_quickly(tmp_path):
    assert accuracy(tmp_path, "--epochs", 5) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("layers", LAYERS)
def test_defaults_reach_98_percent(layers, tmp_path):
    runs = [
        accuracy(tmp_path / str(seed), "--layers", layers, "--seed", seed) for seed in (0, 1, 2)
    ]
    assert statistics.mean(runs) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(optimizer, tmp_path):
    assert accuracy(tmp_path, "--optimizer", optimizer, "--epochs", 10) >= 0.96


@pytest.fixture(scope="module")
def task():
    return catalog.TASKS["digits"]("lenet5", None)


def losses(layers, task, steps):
    run = loop.Training(settings(layers=layers), task)
    found = []
    while len(found) < steps:
        run.epoch(found.append)
    return torch.tensor(found[:steps])


def test_loss_follows_the_native_model(task):
    ours, native = (losses(layers, task, 50) for layers in ("cnnext", "torch"))
    assert native[-1] < 0.8 * native[0]  # it moves
    assert (ours - native).abs().max() < 1e-3


def test_pair_start_with_the_same_weights(task):
    ours, native = (
        loop.Training(settings(layers=layers), task).model for layers in ("cnnext", "torch")
    )
    assert type(ours.features[0]) is cnnext.nn.Conv2d
    assert type(native.features[0]) is torch.nn.Conv2d
    torch.testing.assert_close(ours.state_dict(), native.state_dict(), rtol=0, atol=0)


def test_shift_moves_whole_images_by_up_to_two_pixels():
    image = torch.zeros(64, 2, 9, 9)
    image[:, :, 4, 4] = 1
    moved = shifted(image, 2, torch.Generator().manual_seed(0))
    at = (moved[:, 0] == 1).nonzero()[:, 1:]
    assert at.shape == (64, 2)
    assert set(map(tuple, (at - 4).abs().tolist())) == {(a, b) for a in range(3) for b in range(3)}
    assert torch.equal(moved[:, 0], moved[:, 1])


# What is printed and written.


def test_prints_and_writes(few_digits, out, capsys):
    assert command(out, "--epochs", 2) == 0
    captured = capsys.readouterr()
    files = FILES | {"checkpoint.previous.pt"}
    assert {path.name for path in out.iterdir()} == files
    assert all(str(out / name) in captured.out for name in files)
    assert "13 cnnext, 0 native" in captured.out
    assert "epoch 2/2: 100%" in captured.err
    rows = log(out)
    assert [row["epoch"] for row in rows] == [1, 2]
    right = round(rows[-1]["test_accuracy"] * TEST_SIZE)
    assert f"({right} of {TEST_SIZE})" in captured.out
    with (out / "confusion.csv").open(newline="") as file:
        headers, *confusion = csv.reader(file)
    assert headers == ["true", *map(str, range(10))]
    counts = torch.tensor([list(map(int, row[1:])) for row in confusion])
    assert counts.diag().sum() == right
    assert torch.equal(counts.sum(1), torch.bincount(few_digits.test.tensors[1], minlength=10))
    for name in ("curves.png", "confusion.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def shown(figure):
    """The texts of a picture, after it was drawn."""
    figure.savefig(io.BytesIO())
    return {each.get_text() for each in figure.findobj(text.Text)}


def test_picture_of_the_confusion_matrix_has_names_and_numbers():
    confusion = numpy.array([[17, 4], [0, 23]])
    texts = shown(confusion_figure(confusion, ["a $_{ and $", "größer"]))
    names = {r"a \$_{ and \$", "größer"}  # escaped, and shown as they are
    assert {"17", "4", "0", "23", *names, "True label", "Predicted label"} <= texts


def test_picture_of_many_classes_has_colors_alone():
    names = [f"class {number}" for number in range(99)]
    confusion = 1000 + numpy.arange(99 * 99).reshape(99, 99)
    texts = shown(confusion_figure(confusion, names))
    assert not texts & {*names, "1000", str(confusion.max())}


def test_native_model_says_so(few_digits, out, capsys):
    assert command(out, "--epochs", 1, "--layers", "torch") == 0
    assert "0 cnnext, 13 native" in capsys.readouterr().out


@pytest.mark.parametrize(("layers", "folder"), [("cnnext", ""), ("torch", "-torch")])
def test_default_folder(layers, folder, few_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "lenet5", "--epochs", "1", "--layers", layers]) == 0
    assert (tmp_path / "runs" / f"lenet5-digits{folder}" / "checkpoint.pt").exists()


def test_checkpoint_loads_into_plain_pytorch(few_digits, out):
    assert command(out, "--epochs", 2) == 0
    model = models.lenet5(layers=torch.nn).eval()
    model.load_state_dict(load(out)["model"])
    images, labels = few_digits.test.tensors
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).sum()
    assert right / TEST_SIZE == pytest.approx(log(out)[-1]["test_accuracy"], abs=1 / TEST_SIZE)


def test_leaves_the_callers_random_numbers_alone(few_digits, out):
    before = torch.get_rng_state()
    assert command(out, "--epochs", 1) == 0
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_weights_other_seed_others(few_digits, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert command(tmp_path / name, "--epochs", 2, "--seed", seed) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    a, c = load(tmp_path / "a")["model"], load(tmp_path / "c")["model"]
    assert all(not torch.equal(a[key], c[key]) for key in a)

"""``compare`` shows equal models with their times, and fails on a model that differs."""

import json
import sys

import pytest
import torch

import cnnext.nn
from cnnext import cli
from cnnext.cli import device, subjects
from cnnext.testing import model_pair
from cnnext.testing.model_pair import IMPLEMENTATIONS, INFERENCE

pytest.importorskip("sklearn")
pytest.importorskip("PIL")

LENET5 = ("compare", "lenet5", "--batch", "4", "--threads", "1")


class WrongReLU(torch.nn.ReLU):
    def forward(self, x):
        return 1.01 * super().forward(x)


@pytest.fixture(autouse=True)
def _fast(fast_timing):
    pass


def test_prints_agreement_and_forward_time(capsys):
    assert cli.main(LENET5) == 0
    text = capsys.readouterr().out
    agreement, forward = text.split("Largest error")[1].split("Forward: ")
    (row,) = [line.split() for line in agreement.splitlines() if line.startswith("lenet5")]
    assert row[:2] == ["lenet5", "4"]
    assert "61,706" in row
    assert row[-1] == "yes"
    (row,) = [line.split() for line in forward.splitlines() if line.startswith("lenet5")]
    assert sum(cell.endswith("x") for cell in row) == 4
    assert "over channels_last  optimized over NCHW  optimized over channels_last" in forward
    assert "1 thread" in text
    assert "Training step" not in text


def test_training_on_request_and_stored_rows(tmp_path, capsys):
    stored = tmp_path / "compare.json"
    assert cli.main([*LENET5, "--train", "--json", str(stored)]) == 0
    assert "Training step" in capsys.readouterr().out
    document = json.loads(stored.read_text())
    assert document["command"] == "compare"
    assert document["machine"]["threads"] == 1
    (row,) = document["rows"]
    assert row["model"] == "lenet5"
    assert row["agrees"] is True
    for mode, names in (("forward", INFERENCE), ("training", IMPLEMENTATIONS)):
        assert tuple(row[mode]["times"]) == names
        assert all(time["median"] > 0 for time in row[mode]["times"].values())
        assert tuple(row[mode]["peak_memory"]) == names
    assert tuple(row["errors"]) == INFERENCE
    assert set(row["gradient_errors"]) == set(IMPLEMENTATIONS)


def test_progress_bar_reaches_the_end(capsys):
    cli.main([*LENET5, "--train"])
    assert "100%" in capsys.readouterr().err


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "speed.svg"
    assert cli.main([*LENET5, "--train", "--plot", str(picture)]) == 0
    assert "<svg" in picture.read_text()


def test_wrong_layer_fails_and_is_not_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cnnext.nn, "ReLU", WrongReLU)
    stored = tmp_path / "compare.json"
    models = ["lenet5", "bottleneck"]
    assert cli.main(["compare", *models, "--train", "--json", str(stored)]) == 1
    captured = capsys.readouterr()
    assert "Not equal to native PyTorch: lenet5, bottleneck" in captured.out
    assert "Forward: " not in captured.out
    assert "100%" in captured.err
    rows = json.loads(stored.read_text())["rows"]
    assert [(row["agrees"], row["forward"]) for row in rows] == [(False, None)] * 2


def test_wrong_optimized_model_fails(monkeypatch, capsys):
    monkeypatch.setattr(model_pair, "optimize", lambda model, *_, **__: lambda x: 1.01 * model(x))
    assert cli.main(LENET5) == 1
    assert "Not equal to native PyTorch: lenet5" in capsys.readouterr().out


def test_nothing_to_plot_when_no_model_agrees(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(cnnext.nn, "ReLU", WrongReLU)
    picture = tmp_path / "speed.png"
    assert cli.main([*LENET5, "--plot", str(picture)]) == 1
    assert not picture.exists()


def test_missing_package_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert cli.main(LENET5) == 2
    assert 'pip install "cnnext[demo]"' in capsys.readouterr().err.splitlines()[-1]


def test_default_is_the_main_job():
    assert subjects.DEFAULT == ("lenet5", "vgg16", "resnet50", "bottleneck")
    assert set(subjects.DEFAULT) < set(subjects.names())
    assert "Bottleneck" not in subjects.names()


@pytest.fixture
def fake_device(fake_gpu, monkeypatch):
    """Makes ``--device cuda`` a fake: the CPU, under a GPU's name. Returns what was called."""
    called = []
    place = device.Device(
        "cpu",
        fake_gpu,
        "native",
        lambda: called.append("synchronize"),
        lambda call: called.append("peak memory") or 7,
    )
    monkeypatch.setattr(device, "find", lambda type_, backend: called.append(type_) or place)
    return called


def test_a_gpu_is_waited_for_and_named(fake_gpu, fake_device, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules["matplotlib"].rcParams, "svg.fonttype", "none")
    stored, picture = tmp_path / "compare.json", tmp_path / "speed.svg"
    files = ("--json", str(stored), "--plot", str(picture))
    assert cli.main([*LENET5, "--device", "cuda", *files]) == 0
    assert fake_device[0] == "cuda"
    assert fake_device.count("peak memory") == len(IMPLEMENTATIONS)
    assert "synchronize" in fake_device
    assert f"({fake_gpu}; torch channels_last with cudnn.benchmark" in capsys.readouterr().out
    document = json.loads(stored.read_text())
    assert document["machine"]["gpu"] == fake_gpu
    (row,) = document["rows"]
    assert (row["gpu"], row["cuda_backend"]) == (fake_gpu, "native")
    assert set(row["forward"]["peak_memory"].values()) == {7}
    assert fake_gpu in picture.read_text()


def test_the_cpu_is_not_waited_for(tmp_path, monkeypatch):
    def fail():
        pytest.fail("must not run")

    monkeypatch.setattr(torch.cuda, "synchronize", fail)
    stored = tmp_path / "compare.json"
    assert cli.main([*LENET5, "--json", str(stored)]) == 0
    document = json.loads(stored.read_text())
    assert "gpu" not in document["machine"]
    assert [(row["gpu"], row["cuda_backend"]) for row in document["rows"]] == [(None, None)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("backend", ["auto", "native"])
def test_models_agree_on_cuda(backend, tmp_path):
    stored = tmp_path / "compare.json"
    where = ("--device", "cuda", "--cuda-backend", backend)
    assert cli.main([*LENET5, *where, "--train", "--json", str(stored)]) == 0
    (row,) = json.loads(stored.read_text())["rows"]
    assert row["gpu"] == torch.cuda.get_device_name()
    assert all(size > 0 for size in row["training"]["peak_memory"].values())

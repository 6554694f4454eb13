"""Options of ``train``: schedules, mixed precision, devices, weights to start from."""

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cnnext import cli, models
from cnnext.cli import device
from cnnext.training import catalog, loop, settings, transfer
from cnnext.training.errors import UserError
from tests.cli.training_runs import assert_same_run, command, load, log

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


def learning_rates(name, epochs):
    task = catalog.TASKS["digits"]("lenet5", None)
    options = settings.Settings(
        *("lenet5", "digits", "torch", 32, "sgd", 1.0, 0), name, schedule_epochs=epochs
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = settings.make_schedule(options, task.defaults, optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exponential", lambda epoch: 0.9**epoch),
        ("constant", lambda epoch: 1),
        ("step", lambda epoch: 0.1 ** (epoch // 6)),  # a third of 20 epochs
        ("cosine", lambda epoch: (1 + math.cos(math.pi * epoch / 20)) / 2),
    ],
)
def test_schedule(name, expected):
    assert learning_rates(name, 20) == pytest.approx([expected(epoch) for epoch in range(20)])


def assert_resumes_exactly(tmp_path, *options):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, *options, "--epochs", 2) == 0
    assert command(parts, *options, "--epochs", 1) == 0
    assert command(parts, *options, "--epochs", 2, "--resume") == 0
    assert_same_run(whole, parts)


@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_schedule_is_resumed(schedule, few_digits, tmp_path):
    assert_resumes_exactly(tmp_path, "--schedule", schedule)


def test_cosine_is_resumed_for_its_own_length_alone(few_digits, tmp_path, monkeypatch, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ("--schedule", "cosine", "--epochs", 2)
    assert command(whole, *options) == 0
    epoch = loop.Training.epoch

    def interrupted(self, progress):
        if self.epochs == 1:
            raise KeyboardInterrupt
        return epoch(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "epoch", interrupted)
        assert command(parts, *options) == 130
    assert command(parts, "--schedule", "cosine", "--epochs", 3, "--resume") == 2
    assert "schedule_epochs 2, not 3" in capsys.readouterr().err
    assert command(parts, *options, "--resume") == 0
    assert_same_run(whole, parts)


@pytest.mark.parametrize(
    ("model", "data", "decays"),
    [
        ("lenet5", "digits", {"sgd": 0, "adam": 0, "adamw": 0.01}),  # PyTorch's own
        ("gcn", "karate", {"sgd": 5e-4, "adam": 5e-4, "adamw": 5e-4}),
    ],
)
def test_weight_decay(model, data, decays):
    task = catalog.TASKS[data](model, None)
    for name, decay in decays.items():
        options = settings.Settings(model, data, "torch", 32, name, 0.1, 0)
        (group,) = loop.Training(options, task).state()["optimizer"]["param_groups"]
        assert group["weight_decay"] == decay


# Mixed precision.


@pytest.mark.filterwarnings("ignore::cnnext.NativeFallbackWarning")
def test_amp_computes_in_bfloat16_and_is_resumed(few_digits, tmp_path, monkeypatch):
    dtypes = set()
    statistics = catalog.ImageClassification.statistics

    def recording(self, outputs, targets):
        dtypes.add(outputs.dtype)
        return statistics(self, outputs, targets)

    monkeypatch.setattr(catalog.ImageClassification, "statistics", recording)
    assert_resumes_exactly(tmp_path, "--amp")
    assert torch.bfloat16 in dtypes
    weights = load(tmp_path / "whole")["model"].values()
    assert {value.dtype for value in weights} == {torch.float32}
    first, second = log(tmp_path / "whole")
    assert second["train_loss"] < first["train_loss"]


def test_missing_gpu_is_one_sentence(few_digits, out, monkeypatch, capsys):
    monkeypatch.setattr(device.machine, "why_no_gpu", lambda: "there is none")
    assert command(out, "--device", "cuda") == 2
    assert capsys.readouterr().err == "cnnext: --device cuda is not possible: there is none\n"
    assert not out.exists()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("amp", [(), ("--amp",)])
def test_trains_on_a_gpu(amp, few_digits, tmp_path):
    assert_resumes_exactly(tmp_path, "--device", "cuda", *amp)


# Weights to start from.


@pytest.fixture
def weights(tmp_path):
    def save(model, **changes):
        path = tmp_path / "weights.pt"
        torch.save(model.state_dict() | changes, path)
        return path

    return save


def fresh(classes=10):
    torch.manual_seed(3)
    return models.resnet18(num_classes=classes, layers=torch.nn)


def test_head_of_another_size_stays_as_initialised(weights):
    model, other = fresh(10), fresh(7)
    before = model.fc.weight.clone()
    torch.nn.init.ones_(other.conv1.weight)
    remark = transfer.load_weights(model, weights(other))
    assert remark == "fc stays as initialised: fc.weight is 7 x 512 in weights.pt, not 10 x 512"
    assert torch.equal(model.conv1.weight, torch.ones_like(model.conv1.weight))
    assert torch.equal(model.fc.weight, before)


def test_head_of_the_same_size_is_taken(weights):
    other = fresh()
    torch.nn.init.ones_(other.fc.weight)
    model = fresh()
    assert transfer.load_weights(model, weights(other)) is None
    assert (model.fc.weight == 1).all()


def test_head_for_other_classes_stays_as_initialised(tmp_path):
    """Though it has the same size."""
    other, model = fresh(5), fresh(5)
    for each in (other.conv1, other.fc):
        torch.nn.init.ones_(each.weight)
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": other.state_dict(), "classes": [*"01234"]}, path)
    before = model.fc.weight.clone()
    assert transfer.load_weights(model, path, "56789") == (
        "fc stays as initialised: its classes are 0, 1, 2 and 2 more in checkpoint.pt, not 5, 6, 7"
        " and 2 more"
    )
    assert (model.conv1.weight == 1).all()
    assert torch.equal(model.fc.weight, before)
    assert transfer.load_weights(model, path, "01234") is None
    assert (model.fc.weight == 1).all()


def test_head_of_a_checkpoint_without_classes_is_taken(weights):
    """Those of version 0.1, and of models that tell no classes apart."""
    other, model = fresh(5), fresh(5)
    torch.nn.init.ones_(other.fc.weight)
    assert transfer.load_weights(model, weights(other), "56789") is None
    assert (model.fc.weight == 1).all()


def test_checkpoint_of_this_command_is_taken(few_digits, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert command(first, "--epochs", 2) == 0
    options = ("--init", first / "checkpoint.pt", "--lr", 1e-12, "--epochs", 1)
    assert command(second, *options, "--seed", 5) == 0
    torch.testing.assert_close(load(second)["model"], load(first)["model"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda w: w.pop("bn1.weight"), "lacks bn1.weight"),
        (lambda w: [w.pop(k) for k in list(w)[:5]], "lacks conv1.weight, .*, bn1.bias and 2 more"),
        (lambda w: w.update(extra=torch.zeros(1)), "has the unexpected extra"),
        (lambda w: w.update({"bn1.bias": torch.zeros(3)}), "has bn1.bias of 3, not 64"),
        (lambda w: w.update(extra=3), "holds no state_dict"),
        (lambda w: w.update(extra=print), "is damaged, or holds more than weights"),
    ],
)
def test_other_weights_are_refused(change, part, tmp_path):
    document = fresh().state_dict()
    change(document)
    torch.save(document, tmp_path / "weights.pt")
    model = fresh()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=f"weights.pt' {part}"):
        transfer.load_weights(model, tmp_path / "weights.pt")
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_missing_weights_are_one_sentence(few_digits, out, capsys):
    assert command(out, "--init", "nowhere.pt") == 2
    assert capsys.readouterr().err == (
        "cnnext: cannot read --init 'nowhere.pt': No such file or directory\n"
    )
    assert not out.exists()


# Frozen layers.


@pytest.mark.parametrize(
    ("model", "what", "trained"),
    [
        ("resnet18", "features", {"fc"}),
        ("resnet18", "2", {"layer4", "fc"}),
        ("lenet5", "1", {"classifier"}),
        ("gcn", "features", {"conv2"}),
    ],
)
def test_freeze(model, what, trained):
    with torch.device("meta"):
        net = getattr(models, model)(layers=torch.nn)
        transfer.freeze(net, what)
    names = {name for name, each in net.named_parameters() if each.requires_grad}
    assert {name.partition(".")[0] for name in names} == trained


def test_features_of_lenet5_leave_its_last_layer():
    net = models.lenet5(layers=torch.nn)
    transfer.freeze(net, "features")
    names = {name for name, each in net.named_parameters() if each.requires_grad}
    assert names == {"classifier.4.weight", "classifier.4.bias"}


def test_more_parts_than_there_are():
    with pytest.raises(UserError, match="--freeze 3: the model has only 2 parts: features, class"):
        transfer.freeze(models.lenet5(layers=torch.nn), "3")


@pytest.mark.parametrize("layers", ["cnnext", "torch"])
def test_frozen_parts_keep_every_bit(layers, few_digits, tmp_path, weights):
    """The statistics of batch norms, too."""
    start = models.fashion_cnn(layers=torch.nn)
    out = tmp_path / "run"
    options = ("--init", weights(start), "--freeze", "1", "--layers", layers)
    train = ("train", "fashion_cnn", "--out", out, "--epochs", 1, *options)
    assert cli.main(list(map(str, train))) == 0
    before, after = start.state_dict(), load(out)["model"]
    for key, value in before.items():
        assert torch.equal(after[key], value) == key.startswith("features."), key


def test_frozen_run_is_resumed(few_digits, tmp_path):
    assert_resumes_exactly(tmp_path, "--freeze", "features")


# TensorBoard.


class FakeWriter:
    """What SummaryWriter of TensorBoard has, with a line a value."""

    def __init__(self, folder, purge_step):
        self.file = Path(folder, "events.out.tfevents.1")
        self.file.parent.mkdir(exist_ok=True)
        self.lines = [f"from {purge_step}"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self.file.open("a") as file:
            file.write("\n".join([*self.lines, ""]))

    def add_scalar(self, tag, value, step):
        self.lines.append(f"{tag} {value} {step}")


def test_epochs_are_written_for_tensorboard(few_digits, out, monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    assert command(out, "--epochs", 1) == 0
    assert command(out, "--epochs", 2, "--resume") == 0
    events = out / "tensorboard" / "events.out.tfevents.1"
    expected = []
    for row in log(out):
        step = int(row["epoch"])
        expected.append(f"from {step}")
        for part in ("train", "test"):
            for name in ("loss", "accuracy"):
                expected.append(f"{name}/{part} {row[f'{part}_{name}']} {step}")
    assert events.read_text().splitlines() == expected
    assert command(out, "--epochs", 1, "--overwrite") == 0
    assert events.read_text().splitlines() == expected[:5]


def test_nothing_is_written_without_tensorboard(few_digits, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert command(out, "--epochs", 1) == 0
    assert not (out / "tensorboard").exists()

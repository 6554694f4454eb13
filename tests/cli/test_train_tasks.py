"""Each task of ``train``: its data, its score, and that its models learn."""

import statistics
import sys
from pathlib import Path
from types import ModuleType

import networkx
import pytest
import torch

from cnnext import cli
from cnnext.training import catalog, karate, sequences, shapes
from cnnext.training.classification import UNLABELLED
from cnnext.training.errors import UserError
from tests.cli.training_runs import assert_same_run, load, log

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

COLUMNS = {"digits": "accuracy", "sine": "mean_squared_error", "shapes": "mean_IoU"}


def command(model, data, out, *options):
    return cli.main(["train", model, "--data", data, "--out", str(out), *map(str, options)])


def score(model, data, out, *options):
    assert command(model, data, out, *options) == 0
    return log(out)[-1][f"test_{COLUMNS.get(data, 'accuracy')}"]


# The data.


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("lenet5", (1, 32, 32)),
        ("mlp", (1, 28, 28)),
        ("fashion_cnn", (1, 28, 28)),
        ("simple_cnn", (1, 32, 32)),
        ("resnet18", (3, 32, 32)),
        ("alexnet", (3, 224, 224)),
    ],
)
def test_digits_are_fitted_to_the_model(model, shape, few_digits):
    task = catalog.TASKS["digits"](model, None)
    images = task.train[0][0]
    assert images.shape == shape
    with torch.device("meta"):
        assert task.build(torch.nn).eval()(torch.empty(1, *shape)).shape == (1, 10)


@pytest.mark.parametrize("model", ["unet", "fcn", "deeplabv3", "pspnet", "deconvnet"])
def test_shapes_are_fitted_to_the_model(model):
    task = catalog.TASKS["shapes"](model, None)
    shape = task.train[0][0].shape
    assert shape == ((1 if model == "unet" else 3), 64, 64)
    with torch.device("meta"):
        assert task.build(torch.nn).eval()(torch.empty(1, *shape)).shape == (1, 4, 64, 64)


def test_sine_target_is_the_input_a_step_later():
    inputs, targets = sequences.sine_windows().train[:8]
    assert inputs.shape == targets.shape == (8, 50, 1)
    torch.testing.assert_close(inputs[:, 1:], targets[:, :-1])
    assert inputs[:, 0].std() > 0.3  # the phases differ


def test_first_step_of_a_series_is_not_scored():
    task = catalog.TASKS["sine"]("simple_rnn", None)
    targets = torch.zeros(2, 4, 1)
    outputs = torch.tensor([9.0, 1, 1, 1]).view(1, 4, 1).expand(2, 4, 1)
    assert task.loss(outputs, targets) == 1
    assert task.value(task.statistics(outputs, targets)) == 1


def test_shapes_are_brighter_than_the_noise_around_them():
    images, masks = shapes.draw_shapes(16, seed=0)
    assert images.shape == (16, 1, 64, 64)
    assert masks.unique().tolist() == [0, 1, 2, 3]
    image = images[:, 0]
    assert abs(image[masks == 0].mean()) < 0.01
    assert all(image[masks == kind].mean() > 0.6 for kind in (1, 2, 3))
    assert torch.equal(shapes.draw_shapes(16, seed=0)[0], images)
    assert not torch.equal(shapes.draw_shapes(16, seed=1)[1], masks)


def test_areas_of_shapes_are_those_of_their_kind():
    """A disc fills about pi / 4 of its bounding box, a rectangle all, a triangle half."""
    _, masks = shapes.draw_shapes(64, seed=0)
    shares = {1: [], 2: [], 3: []}
    for cell in masks.unfold(1, 32, 32).unfold(2, 32, 32).flatten(0, 2):
        inside = cell.nonzero()
        if len(inside):
            box = (inside.max(0).values - inside.min(0).values + 1).prod()
            shares[int(cell.max())].append(float(len(inside) / box))
    means = {kind: statistics.mean(found) for kind, found in shares.items()}
    assert means == {
        1: pytest.approx(0.785, abs=0.03),
        2: pytest.approx(1, abs=0.001),
        3: pytest.approx(0.5, abs=0.05),
    }


def test_karate_club_is_that_of_networkx():
    graph = networkx.karate_club_graph()
    expected = torch.tensor(networkx.to_numpy_array(graph, weight=None), dtype=torch.float32)
    assert torch.equal(karate.adjacency(), expected)
    clubs = [int(graph.nodes[node]["club"] == "Officer") for node in range(34)]
    assert karate.factions().tolist() == clubs


def test_two_nodes_of_the_karate_club_have_labels():
    task = catalog.TASKS["karate"]("gcn", None)
    (*_, train), (*_, test) = task.train[0], task.test[0]
    assert (train != UNLABELLED).nonzero().flatten().tolist() == [0, 33]
    assert ((train == UNLABELLED) == (test != UNLABELLED)).all()


# The scores.


def test_mean_iou_by_hand():
    task = catalog.TASKS["shapes"]("unet", None)
    targets = torch.tensor([[[0, 0, 1, 1]]])
    found = torch.tensor([[[0, 1, 1, 1]]])
    outputs = torch.nn.functional.one_hot(found, 4).permute(0, 3, 1, 2).float()
    # Class 0 has 1 of 2 pixels, class 1 has 2 of 3; classes 2 and 3 do not occur.
    value = task.value(task.statistics(outputs, targets))
    assert value == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_unlabelled_nodes_are_neither_learned_nor_scored():
    task = catalog.TASKS["karate"]("gcn", None)
    targets = torch.tensor([0, UNLABELLED, 1])
    outputs = torch.tensor([[1.0, 0], [5, 0], [1, 0]], requires_grad=True)
    assert task.statistics(outputs, targets).tolist() == [1, 2]
    task.loss(outputs, targets).backward()
    assert outputs.grad[1].abs().max() == 0


# The runs.


@pytest.fixture
def small_data(monkeypatch):
    """Few windows and images, so that an epoch is a few steps."""
    monkeypatch.setattr(sequences, "_TRAIN_WINDOWS", 64)
    monkeypatch.setattr(sequences, "_TEST_WINDOWS", 16)
    monkeypatch.setattr(shapes, "_TRAIN_IMAGES", 16)
    monkeypatch.setattr(shapes, "_TEST_IMAGES", 8)


@pytest.mark.parametrize(
    ("model", "data", "results"),
    [
        ("simple_lstm", "sine", {"predictions.png"}),
        ("unet", "shapes", {"masks.png"}),
        ("gcn", "karate", {"confusion.csv", "confusion.png"}),
    ],
)
def test_task_is_resumed_exactly_and_writes_its_files(
    model, data, results, small_data, tmp_path, capsys
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(model, data, whole, "--epochs", 2) == 0
    assert command(model, data, parts, "--epochs", 1) == 0
    assert command(model, data, parts, "--epochs", 2, "--resume") == 0
    assert_same_run(whole, parts)
    files = {"checkpoint.pt", "checkpoint.previous.pt", "log.csv", "curves.png", *results}
    assert {path.name for path in whole.iterdir()} == files
    assert all((whole / name).stat().st_size > 0 for name in files)
    task = catalog.TASKS[data](model, None)
    assert f"Test {task.score.name} " in capsys.readouterr().out
    task.build(torch.nn).load_state_dict(load(whole)["model"])


def test_gcn_learns_the_factions_from_two_labels(tmp_path):
    assert score("gcn", "karate", tmp_path) >= 0.9


def test_rnn_learns_the_sine(tmp_path):
    assert score("simple_rnn", "sine", tmp_path, "--epochs", 10) < 1e-3


@pytest.mark.parametrize(
    ("model", "data", "part"),
    [
        ("lenet5", "sine", "lenet5 does not take inputs of 50 x 1"),
        ("lenet5", "shapes", "lenet5 does not take inputs of 1 x 64 x 64"),
        ("mlp", "karate", "mlp does not take inputs of 34 and 34"),
        ("vgg11", "shapes", "vgg11 does not take inputs of 1 x 64 x 64"),
        ("gcn", "sine", "gcn does not take inputs of 50 x 1"),
    ],
)
def test_model_that_does_not_fit_the_data(model, data, part):
    with pytest.raises(UserError, match=part):
        catalog.TASKS[data](model, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "seeds", "least"),
    [
        ("mlp", "digits", 3, 0.9683),
        ("simple_cnn", "digits", 3, 0.98),
        ("fashion_cnn", "digits", 3, 0.98),
        ("unet", "shapes", 1, 0.95),
        ("gcn", "karate", 5, 0.9),
    ],
)
@pytest.mark.parametrize("layers", ["cnnext", "torch"])
def test_defaults_reach_the_target(model, data, seeds, least, layers, tmp_path):
    runs = [
        score(model, data, tmp_path / str(seed), "--seed", seed, "--layers", layers)
        for seed in range(seeds)
    ]
    assert statistics.mean(runs) >= least


# Transfer learning, from the digits 0 to 4 to ten images each of 5 to 9.


def transferred(model, start, out, *options):
    return score(model, "digits-5-9", out, "--init", start / "checkpoint.pt", *options)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    out = tmp_path_factory.mktemp("start")
    assert command("lenet5", "digits-0-4", out, "--epochs", 1) == 0
    return out


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ((), ""),
        (("--freeze", "1"), "classifier."),
        (("--freeze", "features"), "classifier.4."),
    ],
)
def test_transfer_trains_what_is_not_frozen(options, trained, start, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    transferred("lenet5", start, whole, *options, "--epochs", 2)
    assert "classifier.4 stays as initialised" in capsys.readouterr().out  # of other classes
    before, after = load(start)["model"], load(whole)["model"]
    for key, value in before.items():
        assert torch.equal(after[key], value) != key.startswith(trained), key
    transferred("lenet5", start, parts, *options, "--epochs", 1)
    transferred("lenet5", start, parts, *options, "--epochs", 2, "--resume")
    assert_same_run(whole, parts)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["cnnext", "torch"])
@pytest.mark.parametrize("model", ["simple_rnn", "simple_lstm", "simple_gru"])
def test_defaults_predict_the_sine(model, layers, tmp_path):
    assert score(model, "sine", tmp_path, "--layers", layers) <= 1e-4


# Images that torchvision reads.


class FakeSet:
    """What MNIST and CIFAR10 of torchvision have, with four images."""

    classes = ("0 - zero", *map(str, range(1, 10)))

    def __init__(self, root, train, download):
        assert not download
        if not root.endswith("here"):
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        generator = torch.Generator().manual_seed(int(train))
        shape = (4, 28, 28) if self.gray else (4, 32, 32, 3)
        self.data = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        self.targets = list(self.labels)
        if not self.gray:
            self.data = self.data.numpy()


@pytest.fixture
def torchvision(monkeypatch):
    def fake(gray=True, labels=(0, 9, 3, 3)):
        package, datasets = ModuleType("torchvision"), ModuleType("torchvision.datasets")
        kind = type("Set", (FakeSet,), {"gray": gray, "labels": labels})
        datasets.MNIST = datasets.FashionMNIST = datasets.CIFAR10 = kind
        monkeypatch.setitem(sys.modules, "torchvision", package)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)

    return fake


@pytest.mark.parametrize(
    ("data", "model", "shape"),
    [
        ("mnist", "lenet5", (1, 32, 32)),
        ("mnist", "mlp", (1, 28, 28)),
        ("fashion-mnist", "fashion_cnn", (1, 28, 28)),
        ("cifar10", "simple_cnn", (3, 32, 32)),
        ("cifar10", "fashion_cnn", (3, 32, 32)),
        ("cifar10", "mlp", (3, 32, 32)),
    ],
)
def test_stored_images_are_fitted_and_normalised(data, model, shape, torchvision, tmp_path):
    torchvision(gray=data != "cifar10")
    task = catalog.TASKS[data](model, tmp_path / "here")
    images = torch.stack([task.train[i][0] for i in range(4)])
    assert images.shape[1:] == shape
    assert images.mean((0, 2, 3)).abs().max() < 0.05
    assert [int(task.train[i][1]) for i in range(4)] == [0, 9, 3, 3]
    assert [*task.classes] == [*map(str, range(10))]
    assert command(model, data, tmp_path / "run", "--root", tmp_path / "here", "--epochs", 1) == 0


def test_missing_torchvision_is_one_sentence():
    with pytest.raises(UserError, match="'torchvision' is missing: pip install torchvision"):
        catalog.TASKS["mnist"]("lenet5", None)


def test_missing_files_are_one_sentence(torchvision, tmp_path):
    torchvision()
    with pytest.raises(UserError, match="--data mnist finds no files in 'data': choose the folder"):
        catalog.TASKS["mnist"]("lenet5", None)


def test_label_out_of_range_is_one_sentence(torchvision, tmp_path):
    torchvision(labels=(0, 1, 10, 2))
    with pytest.raises(UserError, match="--data mnist has the label 10: expected 0 to 9"):
        catalog.TASKS["mnist"]("lenet5", tmp_path / "here")


class FakeFolder:
    """What ImageFolder of torchvision has: a class for each subfolder."""

    def __init__(self, root):
        self.classes = sorted(path.name for path in Path(root).iterdir())
        self.transform = None

    def __len__(self):
        return 2 * len(self.classes)

    def __getitem__(self, index):
        return self.transform((index // 2, 300)), index // 2


@pytest.fixture
def folders(torchvision, monkeypatch, tmp_path):
    """A folder with classes in train and val, and torchvision's transforms on a pair of numbers."""
    torchvision()
    sys.modules["torchvision.datasets"].ImageFolder = FakeFolder
    transforms = ModuleType("torchvision.transforms")
    transforms.Resize = transforms.CenterCrop = lambda size: lambda image: (image[0], size)
    transforms.ToTensor = lambda: lambda image: torch.full((3, image[1], image[1]), image[0])
    transforms.Normalize = lambda mean, std: torch.Tensor.float

    def compose(steps):
        def transform(image):
            for step in steps:
                image = step(image)
            return image

        return transform

    transforms.Compose = compose
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
    return tmp_path


def test_image_folder_gives_the_size_that_the_model_takes(folders):
    task = catalog.TASKS["imagefolder"]("simple_cnn", folders)
    image, label = task.train[3]
    assert (image.shape, label) == ((3, 224, 224), 1)
    assert task.description == "4 images to learn from, 4 to test"
    assert task.classes == ["cat", "dog"]
    assert catalog.TASKS["imagefolder"]("alexnet_227", folders).test[0][0].shape == (3, 227, 227)


def test_image_folder_with_other_classes_to_test_is_one_sentence(folders):
    (folders / "val" / "cow").mkdir()
    with pytest.raises(UserError, match="other classes in train than in val: 'cow'"):
        catalog.TASKS["imagefolder"]("simple_cnn", folders)


def test_missing_image_folder_is_one_sentence(folders):
    with pytest.raises(UserError, match="nowhere' is not a folder of images: .*nowhere"):
        catalog.TASKS["imagefolder"]("simple_cnn", folders / "nowhere")


def test_image_folder_needs_a_root(folders):
    with pytest.raises(UserError, match="--data imagefolder needs --root DIR"):
        catalog.TASKS["imagefolder"]("simple_cnn", None)

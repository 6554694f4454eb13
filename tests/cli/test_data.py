"""Real input: right shapes, really different images, the same every time."""

import pytest
import torch

from cnnext.cli import data, subjects
from cnnext.training.digits import digits as digits_of

pytest.importorskip("sklearn")
pytest.importorskip("PIL")


def test_digits():
    sample = data.digits(16)
    assert sample.images.shape == (16, 1, 32, 32)
    assert sample.images.dtype == torch.float32
    assert abs(sample.images.mean()) < 1e-4
    assert abs(sample.images.std() - 1) < 1e-4
    assert sample.labels.tolist()[:10] == list(range(10))


def test_more_digits_than_there_are():
    assert data.digits(1800).images.shape[0] == 1800


def test_lines_are_digits_side_by_side():
    single, lines = data.digits(16), data.lines_of_digits(2)
    assert lines.images.shape == (2, 1, 32, 256)
    assert lines.labels.tolist() == single.labels.view(2, 8).tolist()
    assert torch.equal(lines.images[1, 0, :, 32:64], single.images[9, 0])


def test_a_quarter_of_each_class_is_for_testing(digits):
    (images, labels), (test_images, test_labels) = digits.train.tensors, digits.test.tensors
    assert images.shape == (1347, 1, 32, 32)
    assert test_images.shape == (450, 1, 32, 32)
    counts = torch.bincount(labels), torch.bincount(test_labels)
    assert (counts[1] / (counts[0] + counts[1]) - 0.25).abs().max() < 0.01


def test_normalised_by_the_training_part_alone(digits):
    images = digits.train.tensors[0]
    assert abs(images.mean()) < 1e-4
    assert abs(images.std() - 1) < 1e-4
    assert abs(digits.test.tensors[0].mean()) > 1e-4


def test_some_digits_have_labels_from_zero():
    split = digits_of(0, 4).load((1, 32, 32))
    assert digits_of(0, 4).classes == ["0", "1", "2", "3", "4"]
    assert (len(split.train), len(split.test)) == (675, 226)
    assert split.train[:][1].unique().tolist() == [0, 1, 2, 3, 4]


def test_few_digits_are_drawn_by_the_seed():
    splits = [digits_of(5, 9, few=10, seed=seed).load((1, 32, 32)) for seed in (0, 0, 2**63 - 1)]
    for split in splits:
        assert torch.bincount(split.train[:][1]).tolist() == [10] * 5
        assert len(split.test) == 846
    first, same, other = (split.train[:][0] for split in splits)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_photographs_are_all_different():
    images = data.photographs(12).images
    assert images.shape == (12, 3, 224, 224)
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])


def test_photographs_are_normalised_as_for_imagenet():
    images = data.photographs(2).images
    assert -2.2 < images.min() < images.max() < 2.7
    assert torch.equal(images, data.photographs(2).images)


def test_bottleneck_reads_features_of_the_photographs():
    sample = subjects.sample("bottleneck", 2)
    assert sample.images.shape == (2, 256, 56, 56)
    assert sample.images.min() >= 0
    assert not torch.equal(sample.images[0], sample.images[1])
    assert "features" in sample.description


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("alexnet_227", (3, 3, 227, 227)),
        ("crnn", (3, 1, 32, 256)),
        ("fashion_cnn", (3, 1, 28, 28)),
        ("lenet5", (3, 1, 32, 32)),
        ("mlp", (3, 1, 28, 28)),
        ("simple_cnn", (3, 3, 32, 32)),
        ("unet", (3, 3, 256, 256)),
        ("vgg11", (3, 3, 224, 224)),
    ],
)
def test_each_model_gets_its_input(name, shape):
    assert subjects.sample(name, 3).images.shape == shape


@pytest.mark.parametrize("name", subjects.builders())
def test_each_model_takes_its_input(name):
    shape = subjects.seeded_images(name, 1, 0).shape
    with torch.device("meta"), torch.no_grad():
        subjects.build(name)(torch.nn).eval()(torch.empty(shape))


@pytest.mark.models
@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2"])
def test_output_of_a_model_depends_on_the_image(name):
    torch.manual_seed(0)
    model = subjects.build(name)(torch.nn).eval()
    with torch.no_grad():
        first, second = model(subjects.sample(name, 2).images)
    assert (first - second).abs().max() > 0.01 * first.abs().max()

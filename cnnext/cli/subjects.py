"""The models that the commands know, each with its builder and its input.

The user's own have other names (``own_model.py``), which all functions take as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cnnext import models
from cnnext.cli import own_model
from cnnext.cli.arguments import UserError
from cnnext.cli.data import Sample, digits, lines_of_digits, photographs
from cnnext.models.common import init_convolutions
from cnnext.testing.model_pair import Build
from cnnext.training.karate import NODES
from cnnext.training.sequences import STEPS

#: The models compared by default.
DEFAULT = ("lenet5", "vgg16", "resnet50", "bottleneck")

#: The bottleneck block of ResNet-50's first stage, alone.
BOTTLENECK = "bottleneck"

_DEFAULT_BATCH = {"lenet5": 64}
_IMAGE_SHAPE = (3, 224, 224)
_OTHER_SHAPES: dict[str, tuple[int, ...]] = {
    "alexnet_227": (3, 227, 227),
    "crnn": (1, 32, 256),
    "fashion_cnn": (1, 28, 28),
    "lenet5": (1, 32, 32),
    "mlp": (1, 28, 28),
    "simple_cnn": (3, 32, 32),
    "unet": (3, 256, 256),
    BOTTLENECK: (256, 56, 56),
}

Shapes = tuple[tuple[int, ...], ...]

# The features of Cora, of which the GCN is built.
_NODE_FEATURES = 1433
# Boxes of an image in the paper's training steps.
_BOXES = 64


def _series(batch: int) -> Shapes:
    return ((batch, STEPS, 1),)


# Models whose input is something else than a batch of images, and the shapes of one.
_OTHER_INPUTS: dict[str, Callable[[int], Shapes]] = {
    "fast_rcnn_head": lambda batch: ((batch, *_IMAGE_SHAPE), (batch * _BOXES, 5)),
    "gcn": lambda batch: ((NODES, _NODE_FEATURES), (NODES, NODES)),
    "simple_gru": _series,
    "simple_lstm": _series,
    "simple_rnn": _series,
}


def functions() -> list[str]:
    """All builders of ``cnnext.models``."""
    return [name for name in models.__all__ if inspect.isfunction(getattr(models, name))]


def builders() -> list[str]:
    """The builders of ``cnnext.models`` whose models take a batch of images."""
    return [name for name in functions() if name not in _OTHER_INPUTS]


def names() -> list[str]:
    """The models that take a batch of images."""
    return [*builders(), BOTTLENECK]


def all_names() -> list[str]:
    """Every name that ``build`` takes."""
    return [*functions(), BOTTLENECK]


def check_name(name: str, known: Sequence[str] | None = None) -> None:
    """Raise a UserError if no model has this name, of ``names()`` or of the ``known`` ones."""
    if known is None and own_model.is_one(name):
        own_model.check(name)
        return
    known = names() if known is None else known
    if name not in known:
        raise UserError(f"unknown model {name!r}: choose from {', '.join(known)}")


def default_batch(name: str) -> int:
    """1, the latency that users see; more for a model too small to be measured so."""
    return _DEFAULT_BATCH.get(name, 1)


def build(name: str) -> Build:
    """The builder of a model, as a function of the layer namespace alone."""
    if own_model.is_one(name):
        return own_model.builder(name)
    if name == BOTTLENECK:
        return lambda layers: models.Bottleneck(256, 64, layers=layers)
    builder = getattr(models, name)
    if name == "googlenet":
        return lambda layers: _redrawn(builder(layers=layers))
    return lambda layers: builder(layers=layers)


def _redrawn(model: torch.nn.Module) -> torch.nn.Module:
    """The model with weights that keep the size of the values.

    GoogLeNet's initial weights are so small that, before training, its output is the last bias
    whatever the image is: a comparison would see nothing else.
    """
    init_convolutions(model, "fan_out")
    return model


def sample(name: str, batch: int) -> Sample:
    """Real input for a model.

    Raises:
        UserError: a package of the extra ``cnnext[demo]`` is missing.
    """
    if own_model.is_one(name):
        return own_model.sample(name, batch)
    return _SAMPLES.get(name, photographs)(batch)


def image_shape(name: str) -> tuple[int, ...]:
    """The shape of one image of a model's input."""
    if own_model.is_one(name):
        return tuple(own_model.sample(name, 1).images.shape[1:])
    return _OTHER_SHAPES.get(name, _IMAGE_SHAPE)


def input_shapes(name: str, batch: int) -> Shapes:
    """The shapes of what a model is called with, of the batch if there is one."""
    if name in _OTHER_INPUTS:
        return _OTHER_INPUTS[name](batch)
    return ((batch, *image_shape(name)),)


def seeded_images(name: str, batch: int, seed: int) -> Tensor:
    """Input for a model that needs no package, the same in every process: normally distributed."""
    if own_model.is_one(name):
        return own_model.sample(name, batch).images
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, *image_shape(name)), generator=generator)


def _stage1_features(batch: int) -> Sample:
    """What a ResNet-50's first block makes of the photographs: the input of its second block."""
    photos = photographs(batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net: Any = models.resnet50(layers=torch.nn).eval()
    with torch.no_grad():
        stem = net.maxpool(net.relu(net.bn1(net.conv1(photos.images))))
        features = net.layer1[0](stem)
    return replace(photos, images=features, description=f"features of {photos.description}")


def _small_digits(batch: int) -> Sample:
    """The digits of LeNet-5 without a border of two pixels, which is 28x28."""
    sample = digits(batch)
    return replace(sample, images=sample.images[..., 2:-2, 2:-2].contiguous())


# The input of models that do not take photographs of ImageNet's size.
_SAMPLES: dict[str, Callable[[int], Sample]] = {
    BOTTLENECK: _stage1_features,
    "alexnet_227": partial(photographs, size=227),
    "crnn": lines_of_digits,
    "fashion_cnn": _small_digits,
    "lenet5": digits,
    "mlp": _small_digits,
    "simple_cnn": partial(photographs, size=32),
    "unet": partial(photographs, size=256),
}

"""The tasks by the names of their data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch.utils.data import TensorDataset

from cnnext.models.gcn import normalised_adjacency
from cnnext.training import karate, sequences
from cnnext.training.classification import UNLABELLED, ImageClassification, NodeClassification
from cnnext.training.digits import digits
from cnnext.training.errors import UserError
from cnnext.training.fitting import ImageSource, build_function, fit_images, mismatch
from cnnext.training.segmentation import Segmentation
from cnnext.training.sequences import SequenceRegression
from cnnext.training.shapes import shapes
from cnnext.training.stored_images import image_folder, known_images
from cnnext.training.task import Defaults, Task

_IMAGE_RATES = {"sgd": 0.03, "adam": 2e-3, "adamw": 2e-3}
DIGITS = Defaults(epochs=20, batch_size=32, rates=_IMAGE_RATES, decay=0.9)
_SINE = Defaults(
    epochs=100, batch_size=16, rates={"sgd": 0.1, "adam": 1e-2, "adamw": 1e-2}, decay=0.96
)
_SHAPES = Defaults(
    epochs=15, batch_size=8, rates={"sgd": 0.03, "adam": 2e-3, "adamw": 2e-3}, decay=0.85
)
_KARATE = Defaults(
    epochs=200,
    batch_size=1,
    rates={"sgd": 0.1, "adam": 1e-2, "adamw": 1e-2},
    decay=1.0,
    weight_decay=5e-4,
)
_STORED = Defaults(epochs=10, batch_size=64, rates=_IMAGE_RATES | {"adam": 1e-3}, decay=0.8)

# A sixteenth of the published network, for images that are small and easy.
_UNET_WIDTH = 16


def classify_images(
    model: str, source: ImageSource, defaults: Defaults, *, mirror: bool = False
) -> Task:
    """The task of giving each image a class."""
    output = (1, len(source.classes))
    build, shape = fit_images(model, source, lambda _: output, "classify images")
    split = source.load(shape)
    return ImageClassification(
        build,
        split.train,
        split.test,
        defaults,
        split.describe("images"),
        classes=source.classes,
        mirror=mirror,
    )


def _digits(model: str, *_: object) -> Task:
    return classify_images(model, digits(), DIGITS)


def _first_digits(model: str, *_: object) -> Task:
    return classify_images(model, digits(0, 4), DIGITS)


def _few_digits(model: str, root: Path | None, seed: int = 0) -> Task:
    return classify_images(model, digits(5, 9, few=10, seed=seed), DIGITS)


def _known(name: str, kind: str, mirror: bool, model: str, root: Path | None, *_: object) -> Task:
    return classify_images(model, known_images(name, kind, root), _STORED, mirror=mirror)


def _folder(model: str, root: Path | None, *_: object) -> Task:
    return classify_images(model, image_folder(root), _STORED, mirror=True)


def _shapes(model: str, *_: object) -> Task:
    source = shapes()
    build, shape = fit_images(
        model,
        source,
        lambda images: (1, len(source.classes), *images[2:]),
        "segment images",
        base_width=_UNET_WIDTH,
    )
    split = source.load(shape)
    return Segmentation(
        build,
        split.train,
        split.test,
        _SHAPES,
        split.describe("images"),
        classes=source.classes,
    )


def _sine(model: str, *_: object) -> Task:
    build = build_function(model, output_size=1, input_size=1)
    shape = (1, sequences.STEPS, 1)
    reason = mismatch(model, build, [shape], shape, "predict series")
    if reason is not None:
        raise UserError(reason)
    split = sequences.sine_windows()
    description = split.describe("windows")
    return SequenceRegression(build, split.train, split.test, _SINE, description)


def _karate(model: str, *_: object) -> Task:
    """Two nodes have labels to learn from: those whose quarrel split the club."""
    nodes, labels = karate.NODES, karate.factions()
    build = build_function(model, num_classes=2, in_features=nodes)
    reason = mismatch(
        model, build, [(nodes, nodes), (nodes, nodes)], (nodes, 2), "classify nodes of a graph"
    )
    if reason is not None:
        raise UserError(reason)
    known = torch.zeros(nodes, dtype=torch.bool)
    known[[0, nodes - 1]] = True
    features, adjacency = torch.eye(nodes)[None], normalised_adjacency(karate.adjacency())[None]
    train, test = (
        TensorDataset(features, adjacency, torch.where(part, labels, UNLABELLED)[None])
        for part in (known, ~known)
    )
    description = f"2 nodes of one graph to learn from, {nodes - 2} to test"
    return NodeClassification(build, train, test, _KARATE, description, classes=("0", "1"))


class MakeTask(Protocol):
    """Makes a task from the name of a model, the folder of stored images, and a seed.

    The seed draws what to learn from, where that is a sample.

    Raises:
        UserError: the model does not fit, or the data are missing.
    """

    def __call__(self, model: str, root: Path | None, seed: int = 0, /) -> Task: ...


#: By the name of the data.
TASKS: Mapping[str, MakeTask] = {
    "digits": _digits,
    "digits-0-4": _first_digits,
    "digits-5-9": _few_digits,
    "sine": _sine,
    "shapes": _shapes,
    "karate": _karate,
    "mnist": partial(_known, "mnist", "MNIST", False),
    "fashion-mnist": partial(_known, "fashion-mnist", "FashionMNIST", True),
    "cifar10": partial(_known, "cifar10", "CIFAR10", True),
    "imagefolder": _folder,
}

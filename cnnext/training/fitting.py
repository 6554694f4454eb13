"""How a builder's model and a data set are made to fit each other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cnnext import models
from cnnext.training.errors import UserError
from cnnext.training.task import Build

# Heights and widths that the models were made for.
_SIZES = (32, 28, 224, 227)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Samples to learn from, and others to test with; a UserError if there are none."""

    train: Dataset[Any]
    test: Dataset[Any]

    def __post_init__(self) -> None:
        for part, use in ((self.train, "learn from"), (self.test, "test with")):
            if len(cast(Sized, part)) == 0:
                raise UserError(f"--data has nothing to {use}")

    def describe(self, samples: str) -> str:
        """How many there are of each, for the user."""
        train, test = (len(cast(Sized, part)) for part in (self.train, self.test))
        return f"{train} {samples} to learn from, {test} to test"


@dataclass(frozen=True)
class ImageSource:
    """Images before they are read.

    Attributes:
        classes: their names, in the order of the labels.
        channels: of an image.
        size: its height and width; None if images of any size can be made.
        load: from the shape (C, H, W) that the model takes, the images in it.
    """

    classes: Sequence[str]
    channels: int
    size: int | None
    load: Callable[[tuple[int, int, int]], Split]


def build_function(model: str, **offered: Any) -> Build:
    """The model with those of the offered arguments that its builder takes."""
    builder = getattr(models, model)
    parameters = inspect.signature(builder).parameters
    options = {name: value for name, value in offered.items() if name in parameters}
    return lambda layers: builder(layers=layers, **options)


def fit_images(
    model: str, source: ImageSource, output: Callable[[Shape], Shape], purpose: str, **offered: Any
) -> tuple[Build, tuple[int, int, int]]:
    """The builder for these images, and the shape of one that its model takes.

    Args:
        model: a builder of ``cnnext.models``.
        source: the images.
        output: the expected shape of the output, from that of the input.
        purpose: what such a model does.
        offered: arguments for the builder beside those that follow from the images.

    Raises:
        UserError: it takes them in no shape, or gives another output.
    """
    reasons = []
    for channels, size in _shapes(model, source):
        fixed = {} if source.size is None else _sized(channels, size)
        build = build_function(
            model, num_classes=len(source.classes), in_channels=channels, **fixed, **offered
        )
        shape = (channels, size, size)
        expected = output((1, *shape))
        reason = mismatch(model, build, [(1, *shape)], expected, purpose)
        if reason is None:
            return build, shape
        reasons.append(reason)
    raise UserError(reasons[0])


def _sized(channels: int, size: int) -> dict[str, int]:
    return {"image_size": size, "in_features": channels * size**2}


def _shapes(model: str, source: ImageSource) -> Iterator[tuple[int, int]]:
    """Channels and sizes to try, the data's own first; gray images can get three channels."""
    parameters = inspect.signature(getattr(models, model)).parameters
    sizes = list(_SIZES)
    if source.size is not None:
        sizes.insert(0, source.size)
    elif "image_size" in parameters:
        sizes.insert(0, parameters["image_size"].default)
    for size in dict.fromkeys(sizes):
        yield source.channels, size
        if source.channels == 1:
            yield 3, size


def mismatch(
    model: str, build: Build, inputs: list[Shape], expected: Shape, purpose: str
) -> str | None:
    """Why a model does not give this output for these inputs; None if it does."""
    what = " and ".join(" x ".join(map(str, shape[1:])) for shape in inputs)
    with torch.device("meta"), torch.no_grad():
        try:
            output = build(torch.nn).eval()(*map(torch.empty, inputs))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            return f"{model} does not take inputs of {what}: {reason}"
    found = output.shape if isinstance(output, Tensor) else ()
    if found == expected:
        return None
    shapes = (" x ".join(map(str, shape)) or "no tensor" for shape in (found, expected))
    return f"{model} does not {purpose}: its output is {', not '.join(shapes)}"


def repeated_channels(images: Tensor, channels: int) -> Tensor:
    """Gray images (N, 1, H, W) with equal channels."""
    return images.expand(-1, channels, -1, -1).contiguous() if channels != 1 else images

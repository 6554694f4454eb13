"""Real images for the models, from scikit-learn (the extra ``cnnext[demo]``)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cnnext.cli.arguments import demo_module
from cnnext.training.digits import all_digits

# Mean and standard deviation of ImageNet's training images (red, green, blue in [0, 1]).
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_LINE_LENGTH = 8

# Multiples of the golden ratio, modulo 1, are spread evenly however many are taken.
_GOLDEN_RATIO = 0.6180339887


@dataclass(frozen=True)
class Sample:
    """A batch of images (N, C, H, W), float32, what they show, and their labels: (N,), or (N, L)
    where an image shows L things.
    """

    images: Tensor
    labels: Tensor
    description: str


def digits(batch: int) -> Sample:
    """Handwritten digits (UCI, 8x8) scaled to 32x32, zero mean and unit variance, 10 classes.

    Raises:
        UserError: scikit-learn is not installed.
    """
    images, labels = all_digits()
    index = torch.arange(batch) % len(images)
    images = images[index]
    return Sample((images - images.mean()) / images.std(), labels[index], "handwritten digits")


def lines_of_digits(batch: int) -> Sample:
    """Lines of eight digits of :func:`digits`, 32x256.

    Raises:
        UserError: scikit-learn is not installed.
    """
    single = digits(batch * _LINE_LENGTH)
    lines = single.images.unflatten(0, (batch, _LINE_LENGTH))
    return Sample(
        lines.permute(0, 2, 3, 1, 4).flatten(3).contiguous(),
        single.labels.view(batch, _LINE_LENGTH),
        "lines of digits",
    )


def photographs(batch: int, size: int = 224) -> Sample:
    """Two photographs, cropped to squares of a size and normalised as for ImageNet models.

    The first two images are the centres of the two; the others are mirrored, or shifted along
    the longer side. The labels are the numbers of the images modulo 10.

    Raises:
        UserError: scikit-learn or Pillow is not installed.
    """
    demo_module("PIL")  # scikit-learn reads the files with it
    photos = [
        _shorter_side_resized(torch.tensor(array).permute(2, 0, 1).float() / 255, size)
        for array in demo_module("sklearn.datasets").load_sample_images().images
    ]
    images = torch.stack([_view(photos, number, size) for number in range(batch)])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
    return Sample((images - mean) / std, torch.arange(batch) % 10, "photographs")


def _shorter_side_resized(photo: Tensor, crop: int) -> Tensor:
    """The photograph (3, H, W) with its shorter side brought to the crop's size."""
    scale = crop / min(photo.shape[1:])
    size = [max(crop, round(scale * side)) for side in photo.shape[1:]]
    return interpolate(photo[None], size=size, mode="bilinear", antialias=True)[0]


def _view(photos: list[Tensor], number: int, size: int) -> Tensor:
    """One square view: the photographs in turn, then mirrored, then at other places."""
    photo = photos[number % len(photos)]
    turn = number // len(photos)
    place = (0.5 + turn // 2 * _GOLDEN_RATIO) % 1
    top, left = (round(place * (side - size)) for side in photo.shape[1:])
    view = photo[:, top : top + size, left : left + size]
    return view.flip(2) if turn % 2 else view

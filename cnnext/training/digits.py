"""Handwritten digits (UCI), from scikit-learn (the extra ``cnnext[demo]``)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from cnnext.training.errors import demo_module
from cnnext.training.fitting import ImageSource, Split, repeated_channels

_CLASSES = [*map(str, range(10))]
_TEST_SHARE = 0.25


def split_digits(shape: tuple[int, int, int] = (1, 32, 32)) -> Split:
    """All the digits as images of a shape, a quarter of each class for testing.

    Mean and variance are made 0 and 1 on the training part; the test part has no say in them.

    Raises:
        UserError: scikit-learn is not installed.
    """
    channels, size, _ = shape
    images, labels = all_digits(size)
    train, test = demo_module("sklearn.model_selection").train_test_split(
        range(len(images)), test_size=_TEST_SHARE, random_state=0, stratify=labels
    )
    images = (images - images[train].mean()) / images[train].std()
    images = repeated_channels(images, channels)
    return Split(
        TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])
    )


def all_digits(size: int = 32) -> tuple[Tensor, Tensor]:
    """The 1797 digits (N, 1, size, size), not normalised, and their labels."""
    data = demo_module("sklearn.datasets").load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1)
    images = interpolate(small, size=size, mode="bilinear", align_corners=False)
    return images, torch.from_numpy(data.target).long()


def digits() -> ImageSource:
    """The digits, in whatever size a model takes."""
    return ImageSource(_CLASSES, channels=1, size=None, load=split_digits)

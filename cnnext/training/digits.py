"""Handwritten digits (UCI), from scikit-learn (the extra ``cnnext[demo]``)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from cnnext.training.errors import demo_module
from cnnext.training.fitting import ImageSource, Split, repeated_channels

_CLASSES = [*map(str, range(10))]
_TRAIN_SHARE = 0.75


def digits(first: int = 0, last: int = 9, *, few: int | None = None, seed: int = 0) -> ImageSource:
    """The digits from first to last, in whatever size a model takes.

    Mean and variance are made 0 and 1 on the training part; the test part has no say in them.

    Args:
        first: the digit with the label 0.
        last: the digit with the highest label.
        few: how many of each class to learn from, all others being for testing; None for three
            quarters.
        seed: draws those to learn from.
    """
    classes = _CLASSES[first : last + 1]
    train_size = _TRAIN_SHARE if few is None else few * len(classes)

    def load(shape: tuple[int, int, int]) -> Split:
        channels, size, _ = shape
        images, labels = all_digits(size)
        chosen = (labels >= first) & (labels <= last)
        images, labels = images[chosen], labels[chosen] - first
        train, test = demo_module("sklearn.model_selection").train_test_split(
            range(len(images)),
            train_size=train_size,
            random_state=seed % 2**32,  # NumPy takes no more bits
            stratify=labels,
        )
        images = (images - images[train].mean()) / images[train].std()
        images = repeated_channels(images, channels)
        return Split(
            TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])
        )

    return ImageSource(classes, channels=1, size=None, load=load)


def all_digits(size: int = 32) -> tuple[Tensor, Tensor]:
    """The 1797 digits (N, 1, size, size), not normalised, and their labels.

    Raises:
        UserError: scikit-learn is not installed.
    """
    data = demo_module("sklearn.datasets").load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1)
    images = interpolate(small, size=size, mode="bilinear", align_corners=False)
    return images, torch.from_numpy(data.target).long()

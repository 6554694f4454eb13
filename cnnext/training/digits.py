"""Handwritten digits (UCI), from scikit-learn (the extra ``cnnext[demo]``)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from cnnext.training.errors import demo_module

CLASSES = 10
_SIZE = 32
_TEST_SHARE = 0.25


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W), float32, with their labels (N,): some to learn from, others to test."""

    train: TensorDataset
    test: TensorDataset
    classes: int

    @property
    def image_shape(self) -> tuple[int, ...]:
        return tuple(self.train.tensors[0].shape[1:])


def split_digits() -> Split:
    """All the digits scaled to 32x32, a quarter of each class for testing.

    Mean and variance are made 0 and 1 on the training part; the test part has no say in them.

    Raises:
        UserError: scikit-learn is not installed.
    """
    images, labels = all_digits()
    train, test = demo_module("sklearn.model_selection").train_test_split(
        range(len(images)), test_size=_TEST_SHARE, random_state=0, stratify=labels
    )
    images = (images - images[train].mean()) / images[train].std()
    return Split(
        TensorDataset(images[train], labels[train]),
        TensorDataset(images[test], labels[test]),
        CLASSES,
    )


def all_digits() -> tuple[Tensor, Tensor]:
    """The 1797 digits (N, 1, 32, 32), not normalised, and their labels."""
    data = demo_module("sklearn.datasets").load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1)
    images = interpolate(small, size=_SIZE, mode="bilinear", align_corners=False)
    return images, torch.from_numpy(data.target).long()

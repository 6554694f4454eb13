"""Images that the user has on disk, read by torchvision, which downloads nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from cnnext.training.errors import UserError, import_module
from cnnext.training.fitting import ImageSource, Split, repeated_channels

DEFAULT_ROOT = Path("data")

_FOLDER_SIZE = 224
_FOLDER_TEST_NAMES = ("test", "val")

# Mean and standard deviation of ImageNet's training images (red, green, blue in [0, 1]).
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """Bytes (N, C, H, W), which become normalised images of a shape when they are read."""

    def __init__(
        self, images: Tensor, labels: Tensor, shape: Sequence[int], mean: Tensor, std: Tensor
    ) -> None:
        self._images, self._labels, self._shape = images, labels, shape
        self._mean, self._std = mean, std

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """What the DataLoader calls for a whole batch."""
        channels, *size = self._shape
        images = (self._images[indices].float() / 255 - self._mean) / self._std
        if list(images.shape[2:]) != size:
            images = interpolate(images, size=size, mode="bilinear", align_corners=False)
        images = repeated_channels(images, channels)
        return list(zip(images, self._labels[indices], strict=True))


def known_images(name: str, kind: str, root: Path | None) -> ImageSource:
    """MNIST, Fashion-MNIST or CIFAR-10 as torchvision has stored it.

    Args:
        name: of the data, for the user.
        kind: of the class in ``torchvision.datasets``.
        root: the folder that torchvision calls so; None for ``data``.

    Raises:
        UserError: torchvision or a file is missing, or a file holds something else.
    """
    root = DEFAULT_ROOT if root is None else root
    dataset = getattr(_torchvision("datasets"), kind)
    try:
        parts = [dataset(str(root), train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise UserError(
            f"--data {name} finds no files in {str(root)!r}: choose the folder with --root, or run"
            f" torchvision.datasets.{kind}({str(root)!r}, download=True) once"
        ) from error
    # MNIST's are such as "0 - zero".
    classes = [each.partition(" - ")[0] for each in parts[0].classes]
    (images, labels), (test_images, test_labels) = (
        _tensors(name, part, len(classes)) for part in parts
    )
    std, mean = torch.std_mean(images[:10_000].float() / 255, dim=(0, 2, 3), keepdim=True)
    mean, std = mean[0], std[0]

    def load(shape: tuple[int, int, int]) -> Split:
        return Split(
            _Images(images, labels, shape, mean, std),
            _Images(test_images, test_labels, shape, mean, std),
        )

    return ImageSource(classes, images.shape[1], images.shape[2], load)


def _tensors(name: str, dataset: Any, classes: int) -> tuple[Tensor, Tensor]:
    """Bytes (N, C, H, W) and labels, both checked."""
    images, labels = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets).long()
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    if len(images) == 0:
        raise UserError(f"--data {name} is empty")
    if len(images) != len(labels):
        raise UserError(f"--data {name} has {len(images)} images and {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        label = low if low < 0 else high
        raise UserError(f"--data {name} has the label {label}: expected 0 to {classes - 1}")
    return images, labels


def image_folder(root: Path | None) -> ImageSource:
    """Color images in ``root/train/CLASS`` and ``root/test/CLASS`` (or ``val``).

    Raises:
        UserError: torchvision, ``root`` or a folder is missing, or the classes differ.
    """
    datasets, transforms = _torchvision("datasets"), _torchvision("transforms")
    if root is None:
        raise UserError("--data imagefolder needs --root DIR, with the folders train and test")
    test_name = next((name for name in _FOLDER_TEST_NAMES if (root / name).is_dir()), "test")
    try:
        parts = [datasets.ImageFolder(str(root / name)) for name in ("train", test_name)]
    except OSError as error:
        raise UserError(f"--root {str(root)!r} is not a folder of images: {error}") from error
    train, test = parts
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise UserError(
            f"--root {str(root)!r} has other classes in train than in {test_name}: {differing[0]!r}"
        )

    def load(shape: tuple[int, int, int]) -> Split:
        size = shape[1]
        transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(_IMAGENET_MEAN, _IMAGENET_STD),
            ]
        )
        for part in parts:
            part.transform = transform
        return Split(train, test)

    return ImageSource(train.classes, channels=3, size=_FOLDER_SIZE, load=load)


def _torchvision(module: str) -> ModuleType:
    return import_module(f"torchvision.{module}", "torchvision")

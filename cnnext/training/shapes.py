"""Discs, rectangles and triangles in noise, with masks of their pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from cnnext.training.fitting import ImageSource, Split, repeated_channels

_SIZE = 64
_CELL = 32  # each with at most one shape, so that none hides another
_CLASSES = ("background", "disc", "rectangle", "triangle")
_MIN_RADIUS, _MAX_RADIUS = 8, 14
_MIN_BRIGHTNESS = 0.6
_NOISE = 0.15
_TRAIN_IMAGES, _TEST_IMAGES = 256, 64


def shapes() -> ImageSource:
    """The images, the same every time."""
    return ImageSource(_CLASSES, channels=1, size=_SIZE, load=_split)


def _split(shape: tuple[int, int, int]) -> Split:
    images, masks = draw_shapes(_TRAIN_IMAGES + _TEST_IMAGES, seed=0)
    images = repeated_channels(images, shape[0])
    return Split(
        TensorDataset(images[:_TRAIN_IMAGES], masks[:_TRAIN_IMAGES]),
        TensorDataset(images[_TRAIN_IMAGES:], masks[_TRAIN_IMAGES:]),
    )


def draw_shapes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 64, 64) and the class of each of their pixels (N, 64, 64).

    Each quarter of an image has a shape of its own class, size, place and brightness, or none.
    """
    generator = torch.Generator().manual_seed(seed)
    side = _SIZE // _CELL
    cells = count * side**2

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(cells, 1, 1, generator=generator)

    classes = torch.randint(len(_CLASSES), (cells, 1, 1), generator=generator)
    radius = uniform(_MIN_RADIUS, _MAX_RADIUS)
    place = radius - _CELL / 2
    pixels = torch.arange(_CELL) - (_CELL - 1) / 2
    x = pixels.view(1, 1, _CELL) - uniform(-1, 1) * place
    y = pixels.view(1, _CELL, 1) - uniform(-1, 1) * place
    inside = (
        x.square() + y.square() < radius.square(),
        (x.abs() < radius) & (y.abs() < radius * uniform(0.5, 0.9)),
        (y < radius) & (2 * x.abs() < y + radius),
    )
    masks = torch.zeros(cells, _CELL, _CELL, dtype=torch.long)
    for number, pixels_of_shape in enumerate(inside, start=1):
        masks[(classes == number) & pixels_of_shape] = number
    images = (masks > 0) * uniform(_MIN_BRIGHTNESS, 1)
    images, masks = (_joined(cells_of, count, side) for cells_of in (images, masks))
    images = images + _NOISE * torch.randn(images.shape, generator=generator)
    return images.unsqueeze(1), masks


def _joined(cells: Tensor, count: int, side: int) -> Tensor:
    """Cells as images of ``side`` times ``side`` of them."""
    rows = cells.view(count, side, side, _CELL, _CELL).transpose(2, 3)
    return rows.reshape(count, side * _CELL, side * _CELL)

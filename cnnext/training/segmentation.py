"""A class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from cnnext.training.classification import checked_cross_entropy
from cnnext.training.errors import demo_module
from cnnext.training.figures import writer_of
from cnnext.training.task import Results, Score, Task, Tested

_PLOTTED_IMAGES = 4


class Segmentation(Task):
    """Cross entropy of each pixel and mean intersection over union, with masks at the end."""

    score = Score("mean IoU", larger_is_better=True, format=".4f")
    results_files = ("masks.png",)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return checked_cross_entropy(outputs, targets)

    def statistics(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The pixels of each class (rows) that the model gives each class (columns)."""
        size = len(self.classes)
        pairs = targets * size + outputs.argmax(1)
        return torch.bincount(pairs.flatten(), minlength=size**2).view(size, size)

    def value(self, statistics: Tensor) -> float:
        """The mean over the classes that occur, in the masks or in the predictions."""
        both = statistics.diag().double()
        either = statistics.sum(0) + statistics.sum(1) - both
        return float((both / either)[either > 0].mean())

    def results(self, tested: Iterable[Tested]) -> Results:
        """The first images with their true and predicted masks."""
        batch = next(iter(tested))
        count = min(_PLOTTED_IMAGES, len(batch.targets))
        figure = demo_module("matplotlib.figure").Figure(
            figsize=(6, 2 * count), layout="constrained"
        )
        rows = figure.subplots(count, 3, squeeze=False)
        predictions = batch.outputs.argmax(1)
        for row, image, mask, prediction in zip(
            rows, batch.inputs[0], batch.targets, predictions, strict=False
        ):
            row[0].imshow(image.mean(0).numpy(), cmap="gray")
            for axis, classes in zip(row[1:], (mask, prediction), strict=True):
                axis.imshow(
                    classes.numpy(), vmin=0, vmax=len(self.classes) - 1, interpolation="nearest"
                )
            for axis in row:
                axis.set_axis_off()
        for axis, title in zip(rows[0], ("image", "true mask", "predicted mask"), strict=True):
            axis.set_title(title)
        return Results([writer_of(figure)])

"""Series of numbers: at each step, the next one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.data import TensorDataset

from cnnext.training.figures import figure_of, writer_of
from cnnext.training.fitting import Split
from cnnext.training.task import Results, Score, Task, Tested

STEPS = 50
_STEP = 0.1
_TRAIN_WINDOWS, _TEST_WINDOWS = 1024, 256
_PLOTTED_WINDOWS = 3


class SequenceRegression(Task):
    """Mean squared error of every step but the first.

    A single value does not tell whether a wave rises or falls: even the best prediction of the
    first step has a squared error of 5e-3 on average.
    """

    score = Score("mean squared error", larger_is_better=False, format=".3g")
    results_files = ("predictions.png",)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mse_loss(outputs[:, 1:], targets[:, 1:])

    def statistics(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The sum of squared errors, and how many there are."""
        errors = (outputs - targets)[:, 1:].double()
        return torch.stack((errors.square().sum(), errors.new_tensor(errors.numel())))

    def value(self, statistics: Tensor) -> float:
        total, count = statistics.tolist()
        return total / count

    def results(self, tested: Iterable[Tested]) -> Results:
        """A plot of predicted against true values of the first windows."""
        batch = next(iter(tested))
        figure, axes = figure_of(min(_PLOTTED_WINDOWS, len(batch.targets)))
        for axis, outputs, targets in zip(axes, batch.outputs, batch.targets, strict=False):
            axis.plot(targets[:, 0].tolist(), label="true")
            axis.plot(outputs[:, 0].tolist(), linestyle="--", label="predicted")
            axis.set_xlabel("step")
        axes[0].legend()
        return Results([writer_of(figure)])


def sine_windows() -> Split:
    """Windows of a sine wave at random phases, (N, 50, 1), each with the same window a step on."""
    generator = torch.Generator().manual_seed(0)
    phases = 2 * math.pi * torch.rand(_TRAIN_WINDOWS + _TEST_WINDOWS, 1, 1, generator=generator)
    x = phases + _STEP * torch.arange(STEPS).view(1, STEPS, 1)
    inputs, targets = x.sin(), (x + _STEP).sin()
    return Split(
        TensorDataset(inputs[:_TRAIN_WINDOWS], targets[:_TRAIN_WINDOWS]),
        TensorDataset(inputs[_TRAIN_WINDOWS:], targets[_TRAIN_WINDOWS:]),
    )

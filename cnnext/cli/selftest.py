"""A quick test of every operator, for ``cnnext env``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cnnext.runtime.flags import flags
from cnnext.testing.cases import EDGE_CASES
from cnnext.testing.comparisons import comparison
from cnnext.testing.model_pair import CNNEXT, ModelPair

OK = "ok"

_CHANNELS, _SIDE = 3, 5
_FEATURES = _CHANNELS * _SIDE**2


class _Cell(torch.nn.Module):
    """Both results of an LSTM cell in one tensor."""

    def __init__(self, cell: torch.nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.cell(x), dim=1)


class _Sequence(torch.nn.Module):
    """What an LSTM makes of images whose channels are its steps: the last one's states."""

    def __init__(self, lstm: torch.nn.Module) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.lstm(x.flatten(2).transpose(0, 1))
        return output[-1]


# By operator: its layer, after one whose parameters make the gradient of the input count.
_MODELS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "conv2d": lambda layers: _after_norm(layers.Conv2d(_CHANNELS, 4, 3, padding=1)),
    "max_pool2d": lambda layers: _after_norm(layers.MaxPool2d(2)),
    "avg_pool2d": lambda layers: _after_norm(layers.AvgPool2d(2)),
    "adaptive_avg_pool2d": lambda layers: _after_norm(layers.AdaptiveAvgPool2d(2)),
    "adaptive_max_pool2d": lambda layers: _after_norm(layers.AdaptiveMaxPool2d(2)),
    "relu": lambda layers: _after_norm(layers.ReLU()),
    "linear": lambda layers: _after_norm(torch.nn.Flatten(), layers.Linear(_FEATURES, 4)),
    "lstm_cell": lambda layers: _after_norm(
        torch.nn.Flatten(), _Cell(layers.LSTMCell(_FEATURES, 4))
    ),
    "lstm": lambda layers: _after_norm(_Sequence(layers.LSTM(_SIDE**2, 4))),
}


def _after_norm(*layers: torch.nn.Module) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.BatchNorm2d(_CHANNELS), *layers)


def run() -> dict[str, str]:
    """By operator: ``"ok"``, or why its forward or backward pass fails on a small case."""
    return {op: _test(op) for op in EDGE_CASES}


def _test(op: str) -> str:
    for case in EDGE_CASES[op]:
        try:
            comparison(op, case, "training").check()
        except Exception as error:  # whatever is wrong is what the user must see
            return f"{type(error).__name__} on {case}: {error}"
    return OK


def run_layers(device: str) -> dict[str, str]:
    """By operator: ``"ok"``, or why its layer fails there with cnnext's own kernels."""
    with flags(cuda_backend="own"):
        return {op: _test_layer(build, device) for op, build in _MODELS.items()}


def _test_layer(build: Callable[[Any], torch.nn.Module], device: str) -> str:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, _CHANNELS, _SIDE, _SIDE, generator=generator)
    try:
        pair = ModelPair(build, images.to(device), torch.tensor([1, 3], device=device))
        forward = pair.check_forward()
        gradients = pair.check_gradients()
    except Exception as error:  # whatever is wrong is what the user must see
        return f"{type(error).__name__}: {error}"
    if not forward.ok:
        return f"error against float64: {forward.errors}"
    if not gradients[CNNEXT] <= pair.gradient_limit(gradients):
        return f"error of the gradients against float64: {gradients}"
    return OK

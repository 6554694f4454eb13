"""What several families of models are made of."""

from types import ModuleType
from typing import Literal

import torch

from cnnext import nn


def conv_relu(
    in_channels: int, out_channels: int, batch_norm: bool, layers: ModuleType = nn
) -> list[torch.nn.Module]:
    """A 3x3 convolution that keeps the size, batch normalisation if asked for, and ReLU."""
    modules: list[torch.nn.Module] = [
        layers.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    ]
    if batch_norm:
        modules.append(layers.BatchNorm2d(out_channels))
    return [*modules, layers.ReLU(inplace=True)]


def init_convolutions(model: torch.nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    """Draws the convolutions' weights as He et al. do for ReLU; their biases are zero."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)

"""What several families of models are made of."""

from types import ModuleType
from typing import Literal, TypeVar

import torch
from torch.utils import _pytree as pytree

from cnnext import nn

_Outputs = TypeVar("_Outputs", bound=tuple)


def in_saved_programs(cls: type[_Outputs]) -> type[_Outputs]:
    """Decorates a model's named outputs, which ``torch.export.save`` has to know."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    pytree._register_namedtuple(cls, serialized_type_name=name)
    return cls


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


def conv_norm_activation(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    activation: str | None = None,
    layers: ModuleType = nn,
) -> torch.nn.Sequential:
    """A convolution without bias that divides the size by the stride, batch normalisation, and
    the activation of this name in ``layers``.
    """
    modules: list[torch.nn.Module] = [
        layers.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        layers.BatchNorm2d(out_channels),
    ]
    if activation is not None:
        modules.append(getattr(layers, activation)(inplace=True))
    return layers.Sequential(*modules)


def init_convolutions(model: torch.nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    """Draws the convolutions' weights as He et al. do for ReLU; their biases are zero."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)

"""Models as a user of the commands may have them, and functions that return no such thing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Has what a model without memory would lack: a table in no state_dict, weights by a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)
        self.register_buffer("table", torch.tensor([1.0, 1.5, 2.0]).view(3, 1, 1), persistent=False)
        self.head.weight.data.copy_(torch.from_numpy(torch.randn(5, 8).numpy()))

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.conv(images * self.table)).relu()
        return self.head(features.mean((2, 3)))


class Two(Net):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(images), images


def net() -> tuple[nn.Module, Tensor]:
    return Net(), torch.randn(2, 3, 12, 12)


def of_two_results() -> tuple[nn.Module, Tensor]:
    return Two(), torch.randn(2, 3, 12, 12)


def without_example() -> nn.Module:
    return Net()


def of_integers() -> tuple[nn.Module, Tensor]:
    return Net(), torch.ones(2, 3, 12, 12, dtype=torch.int64)

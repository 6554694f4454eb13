"""Models as a user of the commands may have them, and functions that return no such thing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import cnnext.nn


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


class Shared(nn.Module):
    """Calls a layer twice, has its weight in another, and never calls two."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.tied = nn.Linear(6, 6, bias=False)
        self.tied.weight = self.block[0].weight
        self.spare = nn.Linear(6, 3)
        self.idle = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.block(self.block(x)))


def shared() -> tuple[nn.Module, Tensor]:
    return Shared(), torch.randn(1, 6)


class Own(nn.Module):
    """Has a parameter, a tensor in no state_dict and a product of its own beside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 5))
        self.table = torch.ones(5)
        self.embedding = nn.Embedding(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight * self.table + self.embedding(torch.arange(4))


def own() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(Own()), torch.randn(1, 4, 6)


class Packed(nn.Module):
    """Leaves out the last step of all sequences but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = [x.shape[1], *[x.shape[1] - 1] * (len(x) - 1)]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.lstm(packed)[0].data


def lstm() -> tuple[nn.Module, Tensor]:
    layer = nn.LSTM(5, 7, num_layers=2, bidirectional=True, batch_first=True)
    return layer, torch.randn(1, 11, 5)


def gru() -> tuple[nn.Module, Tensor]:
    return nn.GRU(5, 7, batch_first=True), torch.randn(1, 11, 5)


def rnn() -> tuple[nn.Module, Tensor]:
    return nn.RNN(5, 7, batch_first=True), torch.randn(1, 11, 5)


def lstm_of_ours() -> tuple[nn.Module, Tensor]:
    return cnnext.nn.LSTM(5, 7, batch_first=True), torch.randn(1, 11, 5)


def convolutions() -> tuple[nn.Module, Tensor]:
    layers = (
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
        nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2),
    )
    return nn.Sequential(*layers), torch.randn(1, 4, 8, 8)


def lazy() -> tuple[nn.Module, Tensor]:
    return nn.LazyLinear(5), torch.randn(1, 6)


def unfit() -> tuple[nn.Module, Tensor]:
    return nn.Linear(5, 5), torch.randn(1, 6)


def packed() -> tuple[nn.Module, Tensor]:
    return Packed(), torch.randn(2, 3, 5)


def attention() -> tuple[nn.Module, Tensor]:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(1, 5, 8)

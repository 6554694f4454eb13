"""The models that are converted, and what the tests ask of them."""

import pytest
import torch
from torch import Tensor, nn

import cnnext

CNNEXT_FOR_NATIVE = {cls.__bases__[0]: cls for cls in cnnext.nn.SWAPPED}


def sequential() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 5),
    )


def residual() -> nn.Module:
    downsample = nn.Sequential(nn.Conv2d(3, 16, 1, stride=2), nn.BatchNorm2d(16))
    return cnnext.models.Bottleneck(3, 4, 2, downsample, layers=nn)


class SharedNet(nn.Module):
    """Applies one convolution twice, holds it under two names, and ties two linear weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(3, 6, 1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.same_conv = self.conv
        self.relu = nn.ReLU()
        self.encode = nn.Linear(16, 16, bias=False)
        self.decode = nn.Linear(16, 16, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.same_conv(self.relu(self.conv(self.lift(x))))
        return self.decode(self.encode(x))


class Recurrent(nn.Module):
    """Runs recurrent layers over the rows of an image, and an LSTM cell over what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3 * 16, 6, num_layers=2, bidirectional=True)
        self.gru, self.rnn = nn.GRU(12, 10), nn.RNN(10, 12)
        self.cell = nn.LSTMCell(12, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2).reshape(len(x), 3, 16, 16).permute(2, 0, 1, 3).flatten(2)
        for layer in (self.lstm, self.gru, self.rnn):
            rows, _ = layer(rows)
        state = None
        for row in rows:
            state = self.cell(row, state)
        return self.head(state[0])


def hf_resnet() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=5
    )
    return transformers.ResNetForImageClassification(config)


ARCHITECTURES = {
    "sequential": sequential,
    "residual": residual,
    "shared": SharedNet,
    "recurrent": Recurrent,
    "hf_resnet": hf_resnet,
}


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def run(model: nn.Module, x: Tensor) -> Tensor:
    output = model(x)
    return output if isinstance(output, Tensor) else output.logits


def types(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]

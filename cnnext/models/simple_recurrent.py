"""One recurrent layer and a linear layer, for series of numbers.

With the recurrent unit of Elman, "Finding structure in time", Cognitive Science 14(2), 1990, the
LSTM of Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997, or the
GRU of Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014 (https://arxiv.org/abs/1406.1078).
"""

from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from cnnext import nn


class SimpleRecurrent(torch.nn.Module):
    """A recurrent layer, whose every step a linear layer maps to the output.

    Args:
        kind: name of the recurrent layer in ``layers``.
        output_size: values of a step of the output.
        input_size: values of a step of the input.
        hidden_size: values of the recurrent layer's state.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, T, input_size)``
        - Output: ``(N, T, output_size)``
    """

    def __init__(
        self,
        kind: Literal["RNN", "LSTM", "GRU"],
        output_size: int = 1,
        input_size: int = 1,
        hidden_size: int = 32,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.rnn = getattr(layers, kind)(input_size, hidden_size, batch_first=True)
        self.fc = layers.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.rnn(x)
        return self.fc(x)


def simple_rnn(
    output_size: int = 1, layers: ModuleType = nn, *, input_size: int = 1, hidden_size: int = 32
) -> SimpleRecurrent:
    """Elman RNN and linear layer (1,153 parameters); see :class:`SimpleRecurrent`."""
    return SimpleRecurrent("RNN", output_size, input_size, hidden_size, layers)


def simple_lstm(
    output_size: int = 1, layers: ModuleType = nn, *, input_size: int = 1, hidden_size: int = 32
) -> SimpleRecurrent:
    """LSTM and linear layer (4,513 parameters); see :class:`SimpleRecurrent`."""
    return SimpleRecurrent("LSTM", output_size, input_size, hidden_size, layers)


def simple_gru(
    output_size: int = 1, layers: ModuleType = nn, *, input_size: int = 1, hidden_size: int = 32
) -> SimpleRecurrent:
    """GRU and linear layer (3,393 parameters); see :class:`SimpleRecurrent`."""
    return SimpleRecurrent("GRU", output_size, input_size, hidden_size, layers)

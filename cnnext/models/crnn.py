"""CRNN, which reads a line of text.

Shi, Bai, Yao, "An end-to-end trainable neural network for image-based sequence recognition and its
application to scene text recognition", TPAMI 39(11), 2017 (https://arxiv.org/abs/1507.05717), as in
its table 1; as in the authors' implementation, which has the paper's 8.3 million parameters, a
linear layer joins the directions of the first LSTM, too.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn
from cnnext.models.common import conv_relu

_HIDDEN = 256


class CRNN(torch.nn.Module):
    """Seven convolutions down to one row of pixels, two bidirectional LSTMs along it.

    Args:
        num_classes: symbols, with CTC's blank among them (36 letters and digits in the paper).
        in_channels: channels of the input.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, in_channels, 32, W)`` with ``W >= 8``
        - Output: ``(T, N, num_classes)``, logits, ``T = W // 4 - 1``; their ``log_softmax`` is
          what ``torch.nn.CTCLoss`` takes
    """

    def __init__(
        self, num_classes: int = 37, in_channels: int = 1, layers: ModuleType = nn
    ) -> None:
        super().__init__()
        self.features = layers.Sequential(
            *conv_relu(in_channels, 64, batch_norm=False, layers=layers),
            layers.MaxPool2d(kernel_size=2, stride=2),
            *conv_relu(64, 128, batch_norm=False, layers=layers),
            layers.MaxPool2d(kernel_size=2, stride=2),
            *conv_relu(128, 256, batch_norm=False, layers=layers),
            *conv_relu(256, 256, batch_norm=False, layers=layers),
            layers.MaxPool2d(kernel_size=(2, 1), stride=(2, 1)),
            *conv_relu(256, 512, batch_norm=True, layers=layers),
            *conv_relu(512, 512, batch_norm=True, layers=layers),
            layers.MaxPool2d(kernel_size=(2, 1), stride=(2, 1)),
            layers.Conv2d(512, 512, kernel_size=2),
            layers.ReLU(inplace=True),
        )
        self.lstm1 = layers.LSTM(512, _HIDDEN, bidirectional=True)
        self.join = layers.Linear(2 * _HIDDEN, _HIDDEN)
        self.lstm2 = layers.LSTM(_HIDDEN, _HIDDEN, bidirectional=True)
        self.classifier = layers.Linear(2 * _HIDDEN, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = torch.flatten(x, 1, 2).permute(2, 0, 1)  # the columns are the steps of the sequence
        x, _ = self.lstm1(x)
        x = self.join(x)
        x, _ = self.lstm2(x)
        return self.classifier(x)


def crnn(num_classes: int = 37, layers: ModuleType = nn, *, in_channels: int = 1) -> CRNN:
    """CRNN (8,330,789 parameters for 37 symbols); see :class:`CRNN`."""
    return CRNN(num_classes, in_channels, layers)

"""Convolutional and recurrent networks, faster inside PyTorch.

Three doors: drop in a module (`cnnext.Conv2d` is a `torch.nn.Conv2d` with the same arguments),
convert a model (`cnnext.convert(model)`, undone by `cnnext.restore(model)`), compare on your own
machine (`python -m cnnext compare`).
"""

from importlib import import_module

from cnnext import _library  # isort: skip  # noqa: F401  (loads the kernels)
from cnnext import autograd, functional, models, nn
from cnnext._exact_sums import ExactSumsWarning
from cnnext._flags import flags
from cnnext._import_hooks import when_imported
from cnnext._routing import NativeFallbackWarning
from cnnext._version import __version__ as __version__
from cnnext.convert import ConversionReport, convert, report, restore
from cnnext.explain import Candidate, Explanation, explain
from cnnext.nn import (
    GRU,
    LSTM,
    RNN,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    Conv2d,
    GRUCell,
    Linear,
    LSTMCell,
    MaxPool2d,
    ReLU,
    RNNCell,
    Sequential,
)

# isort: split
from cnnext import _symbolic_trace  # noqa: F401  (for torch.fx)

when_imported("torch.utils.flop_counter", lambda _: import_module("cnnext._flop_formulas"))

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "Candidate",
    "Conv2d",
    "ConversionReport",
    "ExactSumsWarning",
    "Explanation",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MaxPool2d",
    "NativeFallbackWarning",
    "RNNCell",
    "ReLU",
    "Sequential",
    "autograd",
    "convert",
    "explain",
    "flags",
    "functional",
    "models",
    "nn",
    "report",
    "restore",
]

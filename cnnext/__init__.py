"""Convolutional and recurrent networks, faster inside PyTorch.

Three ways in: drop in a module (`cnnext.Conv2d` is a `torch.nn.Conv2d` with the same arguments),
convert a model (`cnnext.convert(model)`, undone by `cnnext.restore(model)`), compare on your own
machine (`python -m cnnext compare`).
"""

from importlib import import_module

from cnnext.runtime import library  # isort: skip  # noqa: F401  (loads the kernels)
from cnnext import autograd, functional, models, nn
from cnnext import convert as _moved  # noqa: F401  (before the function takes its name)
from cnnext._version import __version__ as __version__
from cnnext.conversion.swap import ConversionReport, convert, report, restore
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
from cnnext.runtime.exact_sums import ExactSumsWarning
from cnnext.runtime.fallback import NativeFallbackWarning
from cnnext.runtime.flags import flags
from cnnext.runtime.import_hooks import when_imported

# isort: split
from cnnext.integrations import fx  # noqa: F401  (for torch.fx)

when_imported(
    "torch.utils.flop_counter", lambda _: import_module("cnnext.integrations.flop_counter")
)

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

"""Convolutional and recurrent networks, faster inside PyTorch.

Four ways in: drop in a module (`cnnext.Conv2d` is a `torch.nn.Conv2d` with the same arguments),
convert a model (`cnnext.convert(model)`, undone by `cnnext.restore(model)`), optimize it for
inference (`cnnext.optimize(model, example_input)`), compare on your own machine (`python -m cnnext
compare`).
"""

from importlib import import_module

from cnnext.runtime import library  # isort: skip  # noqa: F401  (loads the kernels)
from cnnext import autograd, functional, models, modules, nn
from cnnext import convert as _moved  # noqa: F401  (before the function takes its name)
from cnnext._version import __version__ as __version__
from cnnext.conversion.swap import ConversionReport, convert, report, restore
from cnnext.explain import Candidate, Explanation, explain
from cnnext.modules import *  # noqa: F403
from cnnext.optimization.optimized import OptimizationReport, optimize
from cnnext.runtime.exact_sums import ExactSumsWarning
from cnnext.runtime.fallback import NativeFallbackWarning
from cnnext.runtime.flags import flags
from cnnext.runtime.import_hooks import when_imported
from cnnext.runtime.memory import empty_cache

# isort: split
from cnnext.integrations import fx  # noqa: F401  (for torch.fx)

when_imported(
    "torch.utils.flop_counter", lambda _: import_module("cnnext.integrations.flop_counter")
)

__all__ = [
    *modules.__all__,
    "Candidate",
    "ConversionReport",
    "ExactSumsWarning",
    "Explanation",
    "NativeFallbackWarning",
    "OptimizationReport",
    "autograd",
    "convert",
    "empty_cache",
    "explain",
    "flags",
    "functional",
    "models",
    "nn",
    "optimize",
    "report",
    "restore",
]

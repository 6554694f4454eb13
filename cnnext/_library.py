"""Loads the compiled kernels and gives them to the rest of the package as `ops` and `direct`."""

from importlib import metadata
from typing import Any

import torch  # before _C, which needs the libraries that this loads

try:
    import cnnext._C  # noqa: F401  (registers the operators)
except ImportError as error:
    raise ImportError(
        f"cnnext's kernels cannot be loaded with torch {torch.__version__}: {error}. "
        "They need torch 2.10 or newer and are built by `pip install .` in cnnext's source folder."
    ) from error

VERSION = metadata.version("cnnext")

ops = torch.ops.cnnext


class _Direct:
    """Operators by name, without the Python layer of torch.ops (a sixth of a small call's time).

    For eager calls only: torch.compile follows the operators of `ops`, and not these.
    """

    def __getattr__(self, name: str) -> Any:
        operator = getattr(ops, name).default._op
        setattr(self, name, operator)
        return operator


direct = _Direct()

ops.active_isa()  # raises here, and not in some forward pass, if CNNEXT_ISA is not understood

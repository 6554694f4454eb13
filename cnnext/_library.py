"""Loads the compiled kernels and gives them to the rest of the package as `ops`."""

from importlib import metadata

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
ops.active_isa()  # raises here, and not in some forward pass, if CNNEXT_ISA is not understood

"""Loads the compiled kernels and gives them to the rest of the package as `ops` and `direct`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch  # before _C, which needs the libraries that this loads

from cnnext.runtime.import_hooks import when_imported
from cnnext.runtime.shadowing import why_not_built

try:
    import cnnext._C  # noqa: F401  (registers the operators)
except ImportError as error:
    if error.name == "cnnext._C":  # there is none
        raise ImportError(why_not_built(Path(__file__).parents[1], sys.path)) from None
    raise ImportError(
        f"cnnext's kernels cannot be loaded with torch {torch.__version__}: {error}. "
        "They need torch 2.10 or newer and are built by `pip install .` in cnnext's source folder."
    ) from error

ops = torch.ops.cnnext

_Shared = TypeVar("_Shared")


def shared_by_imports(name: str, initial: _Shared) -> _Shared:
    """The object of that name, which lives as long as the operators.

    A package may be purged from `sys.modules` and imported again: then it has new modules, but
    operators and what they know stay as they are.
    """
    return vars(ops).setdefault(f"_{name}", initial)


class Direct:
    """Operators by name, without the Python layer of torch.ops (a sixth of a small call's time).

    For eager calls only: torch.compile follows the operators of `ops`, and not these.
    """

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        operator = getattr(self._namespace, name).default._op
        setattr(self, name, operator)
        return operator


direct = Direct(ops)

# These raise here, and not in some forward pass, if CNNEXT_ISA or CNNEXT_L2 is not understood.
ops.active_isa()
ops.cache_bytes()

build_info: dict[str, Any] = json.loads(ops.build_info())


def _load_cuda() -> str | None:
    """Loads the CUDA kernels, where this torch can use them; the reason if it cannot."""
    if torch.version.cuda is None:
        return "this PyTorch has no CUDA"
    built = build_info["cuda"]
    if built is None:
        return f"cnnext was built without them: {build_info['why_no_cuda']}"
    if built["version"].split(".")[0] != torch.version.cuda.split(".")[0]:
        return f"they are of CUDA {built['version']}, this PyTorch of CUDA {torch.version.cuda}"
    try:
        import cnnext._C_cuda  # noqa: F401  (registers the operators' CUDA kernels)
    except ImportError as error:
        return str(error)
    return None


#: Why there are no CUDA kernels in this process; None if there are.
why_no_cuda = _load_cuda()

_why_not_on_gpu: dict[int, str | None] = {}


def covers(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether kernels built for these architectures, oldest first, run on such a GPU.

    Machine code runs on GPUs of the same major version and no lower minor version; PTX, which the
    last architecture has too, on all newer ones.
    """
    built = [tuple(map(int, name.split("."))) for name in architectures]
    return any(
        arch <= capability and (arch[0] == capability[0] or arch == built[-1]) for arch in built
    )


def why_no_cuda_on(gpu: int) -> str | None:
    """Why our CUDA kernels do not run on the GPU of that index; None if they do."""
    if why_no_cuda is not None:
        return why_no_cuda
    if gpu not in _why_not_on_gpu:
        if not torch.cuda.is_available():  # compiling for one that is elsewhere
            return "there is no GPU"
        major, minor = torch.cuda.get_device_capability(gpu)
        covered = covers((major, minor), build_info["cuda"]["architectures"])
        reason = f"they are not built for compute capability {major}.{minor}"
        _why_not_on_gpu[gpu] = None if covered else reason
    return _why_not_on_gpu[gpu]


# For TorchDynamo, as torch.compiler.assume_constant_result, which imports it.
when_imported("torch._dynamo", lambda dynamo: dynamo.assume_constant_result(why_no_cuda_on))

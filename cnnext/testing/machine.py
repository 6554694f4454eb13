"""What a stored measurement says about the machine that made it."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cnnext._version import __version__
from cnnext.testing import kernels

_OPENMP_LIBRARY = re.compile(r"/lib(gomp|omp|iomp5)\b[^/]*\.so[^/]*$")


class Gpu(NamedTuple):
    """A GPU and its compute capability, such as (9, 0)."""

    name: str
    capability: tuple[int, int]


def describe() -> dict[str, Any]:
    """Processor, caches, cores, ISAs, threads, versions, OpenMP and date, ready for JSON."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "cache_bytes": kernels.cache_bytes(),
        "isa": kernels.active_isa(),
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cnnext": __version__,
        "python": platform.python_version(),
        "os": platform.platform(),
        # Not the whole paths: stored rows are published, and need not name anyone's folders.
        "openmp_libraries": ["/".join(Path(path).parts[-3:]) for path in openmp_libraries()],
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def summary(machine: dict[str, Any]) -> str:
    """The description in one line, for the head of a table; ASCII if the names are."""
    threads = machine["threads"]
    gpu = f"{machine['gpu']}, CUDA {machine['cuda']}, " if "gpu" in machine else ""
    peers = "".join(f", {name} {version}" for name, version in machine.get("peers", {}).items())
    return (
        f"{gpu}{machine['cpu']}, {machine['isa']}, {threads} thread{'s' if threads > 1 else ''}"
        f", torch {machine['torch']}, cnnext {machine['cnnext']}{peers}, {machine['date']}"
    )


def describe_gpu() -> dict[str, Any]:
    """What a measurement on the current GPU adds to ``describe``."""
    return {
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def why_no_gpu() -> str | None:
    """Why nothing can be computed on a GPU here; None if it can."""
    if torch.version.cuda is None:
        return "this PyTorch has no CUDA"
    return None if torch.cuda.is_available() else "no GPU was found"


def gpus() -> list[Gpu]:
    """The GPUs that PyTorch can use, in its order."""
    if why_no_gpu() is not None:
        return []
    return [
        Gpu(torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index))
        for index in range(torch.cuda.device_count())
    ]


def cpu_name() -> str:
    """The processor's name as the system reports it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def usable_cores() -> int:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def openmp_libraries() -> list[str]:
    """Paths of the OpenMP runtimes in this process (Linux; empty elsewhere).

    More than one is trouble: each has a pool of threads of its own.
    """
    try:
        text = Path("/proc/self/maps").read_text()
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[5] for line in text.splitlines() if line.count("/")}
    return sorted(path for path in paths if _OPENMP_LIBRARY.search(path))

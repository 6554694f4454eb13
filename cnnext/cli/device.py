"""Where ``compare`` runs the models, and how it measures there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cnnext.cli.arguments import UserError
from cnnext.runtime import library
from cnnext.testing import machine
from cnnext.testing.timing import peak_cuda_memory, peak_memory

TYPES = ("cpu", "cuda")


@dataclass(frozen=True)
class Device:
    """A device of PyTorch's; ``gpu`` is its name and ``cuda_backend`` who computes there."""

    type: str
    gpu: str | None
    cuda_backend: str | None
    synchronize: Callable[[], None] | None
    peak_memory: Callable[[Callable[[], Any]], int | None]


CPU = Device("cpu", None, None, None, peak_memory)


def find(type_: str, cuda_backend: str) -> Device:
    """The device of one of the ``TYPES``.

    Raises:
        UserError: there is no GPU, or cnnext cannot compute on it as it was asked to.
    """
    if type_ == "cpu":
        return CPU
    if (reason := machine.why_no_gpu()) is not None:
        raise UserError(f"--device cuda is not possible: {reason}")
    index = torch.cuda.current_device()
    missing = library.why_no_cuda_on(index)
    if cuda_backend == "own" and missing is not None:
        raise UserError(f"--cuda-backend own is not possible: {missing}")
    name = torch.cuda.get_device_name(index)
    return Device("cuda", name, cuda_backend, torch.cuda.synchronize, peak_cuda_memory)

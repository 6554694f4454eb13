"""Where the CUDA tests run: on a GPU, or on the CPU by the engine of tests/cuda_on_cpu."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.runtime import fallback, library
from cnnext.runtime.operator import OPERATORS
from tests.ops.support import CNNEXT, Problem, Tensors

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

#: The files of cnnext.ops that call raw operators of their own.
WITH_RAW_OPERATORS = tuple(op.name for op in OPERATORS.values() if op.raw)

_EMULATOR = Path(__file__).parents[2] / "build/cuda_on_cpu/liboperators.so"
SEEDS = (1, 2)


@dataclass(frozen=True)
class Device:
    """A place where the CUDA kernels run; emulated ones differ in the order of their threads."""

    name: str
    seed: int = 0

    @property
    def emulated(self) -> bool:
        return self.name == "cuda-emulated"

    def __str__(self) -> str:
        return f"{self.name}-{self.seed}" if self.emulated else self.name

    def operators(self) -> Any:
        """cnnext's raw operators there."""
        return emulated_operators() if self.emulated else library.ops

    def tensor(self, t: Tensor) -> Tensor:
        """The tensor there, with the same strides."""
        return t if self.emulated else t.cuda()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, cnnext's CUDA kernels compute on tensors of this device."""
        with ExitStack() as changes:
            if self.emulated:
                emulated_operators().set_seed(self.seed)
                changes.enter_context(_emulation())
                dtypes = mock.patch.object(fallback, "_KERNEL_DTYPES", frozenset(DTYPES))
                changes.enter_context(dtypes)
            else:
                changes.enter_context(cnnext.flags(cuda_backend="own", strict=True))
            yield

    def outputs(self, problem: Problem) -> Tensors:
        with self.in_use():
            return _on_cpu(problem.mapped(self.tensor).outputs(CNNEXT))

    def gradients(self, problem: Problem) -> Tensors:
        moved = replace(
            problem.mapped(self.tensor), seed=lambda output: self.tensor(problem.seed(output.cpu()))
        )
        with self.in_use():
            return _on_cpu(moved.gradients(CNNEXT))


def _on_cpu(tensors: Tensors) -> Tensors:
    return tuple(t.detach().cpu() for t in tensors)


@functools.cache
def emulated_operators() -> torch._ops._OpNamespace:
    torch.ops.load_library(_EMULATOR)
    return torch.ops.cnnext_cuda_on_cpu


@contextmanager
def _emulation() -> Iterator[None]:
    """Within, cnnext's raw operators run the emulated kernels on tensors of the CPU."""
    emulated, names = emulated_operators(), {name for op in OPERATORS.values() for name in op.raw}
    with torch.library._scoped_library("cnnext", "IMPL") as kernels:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Overriding a previously registered"
            for name in filter(functools.partial(hasattr, emulated), names):
                kernels.impl(name, getattr(emulated, name).default, "CPU", allow_override=True)
        yield


def _skip(reason: str) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.skip(reason),) if reason else ()


def _why_no_emulator() -> str:
    return "" if _EMULATOR.exists() else "the engine is not built; `make test` builds it"


def _why_no_gpu() -> str:
    if library.why_no_cuda is not None:
        return f"no CUDA kernels: {library.why_no_cuda}"
    return "" if torch.cuda.is_available() else "there is no CUDA device"


#: All places, for parametrizing; those that are not here are skipped.
DEVICES = (
    pytest.param(Device("cuda"), id="cuda", marks=(pytest.mark.cuda, *_skip(_why_no_gpu()))),
    *(
        pytest.param(device, id=str(device), marks=_skip(_why_no_emulator()))
        for device in (Device("cuda-emulated", seed) for seed in SEEDS)
    ),
)

"""Looking at the kernels and steering which of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from cnnext.runtime import library, operator
from cnnext.runtime.library import ops

#: What the names of kernels begin with.
OPERATORS = tuple(sorted(op.kernels for op in operator.OPERATORS.values() if op.kernels))

#: Instruction sets, each with all of those before it.
ISAS = ("baseline", "avx2", "avx512")


class KernelInfo(NamedTuple):
    """One line of an operator's registry."""

    name: str
    direction: str  # "forward", "bwd_input", "bwd_weight" or "backward"
    isa: str


def active_isa() -> str:
    """The instruction set in use: "baseline", "avx2" or "avx512"."""
    return ops.active_isa()


def detected_isa() -> str:
    """The best instruction set of this machine that this build knows."""
    return ops.detected_isa()


def cache_bytes() -> dict[str, int]:
    """The sizes of L1, L2 and L3 that kernels count on."""
    return dict(zip(("L1", "L2", "L3"), map(int, ops.cache_bytes().split()), strict=True))


def build_info() -> dict[str, Any]:
    """What the build recorded: torch version, compiler, flags, ISAs, CUDA or why not."""
    return library.build_info


def built_isas() -> list[str]:
    """The instruction sets that this build has kernels for."""
    return build_info()["isas"]


def registry(op: str) -> list[KernelInfo]:
    """All kernels of an operator."""
    lines = getattr(ops, f"{op}_kernels")().splitlines()
    return [KernelInfo(*line.split()) for line in lines]


def kernels(op: str) -> list[str]:
    """The names of all kernels of an operator."""
    return [kernel.name for kernel in registry(op)]


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Within, no kernel of a higher instruction set than this one runs (process-wide)."""
    ops.set_isa_cap(name)
    try:
        yield
    finally:
        ops.set_isa_cap("")


@contextmanager
def use_kernel(op: str, name: str) -> Iterator[None]:
    """Within, calls of `op` in that kernel's direction run it, or fail if it does not apply."""
    if name not in kernels(op):
        raise ValueError(f"{op} has no kernel named {name!r}; it has {', '.join(kernels(op))}")
    ops.force_kernel(op, name)
    try:
        yield
    finally:
        ops.force_kernel(op, "")

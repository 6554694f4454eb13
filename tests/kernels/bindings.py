"""The module under test, and the list of all its kernels as test parameters.

Importing this file skips the importing tests where the module is not built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

_kernels: Any = pytest.importorskip(
    "_kernels",
    reason="_kernels is not on the path: build it with `cmake -S . -B build/cmake && "
    "cmake --build build/cmake` and set PYTHONPATH=build/cmake, or run `make test`",
)

Array = NDArray[Any]
Shape = dict[str, Any]

#: Those that are bound.
OPERATORS = tuple(
    sorted(name for name, bindings in vars(_kernels).items() if hasattr(bindings, "kernels"))
)
#: Those whose shape is a size, and the numbers that they take.
ELEMENTWISE = tuple(name for name in OPERATORS if hasattr(getattr(_kernels, name), "parameters"))
ISAS = ("baseline", "avx2", "avx512")
THREADS = (1, 2, 3, 5)

#: Sizes around the widths of vectors and register tiles.
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33)


class Kernel(NamedTuple):
    """One line of an operator's registry."""

    operator: str
    name: str
    direction: str
    isa: str
    dtype: str

    @property
    def bindings(self) -> ModuleType:
        return getattr(_kernels, self.operator)

    @property
    def is_usable(self) -> bool:
        return ISAS.index(self.isa) <= ISAS.index(_kernels.active_isa())

    @property
    def is_reference(self) -> bool:
        return self.name.startswith(f"{self.operator}_reference_")

    def applies(self, shape: Shape) -> bool:
        return self.bindings.cost(self.name, **shape) < float("inf")

    def run(self, *arrays: Any, threads: int, **arguments: Any) -> Any:
        """The kernel's results, flat, on a shape (part of `arguments`) that it applies to."""
        run = getattr(self.bindings, self.direction)
        return run(self.name, *arrays, threads=threads, **arguments)


def registry(operator: str, *directions: str) -> list[Kernel]:
    """The kernels of an operator, of the given directions or of all."""
    kernels = [Kernel(operator, *line) for line in getattr(_kernels, operator).kernels()]
    return [kernel for kernel in kernels if not directions or kernel.direction in directions]


def each_kernel(
    operator: str,
    *directions: str,
    variants: Mapping[str, tuple[Shape, Sequence[Any]]],
    references: bool = True,
    algorithm: str = "",
) -> list[Any]:
    """Parameters (kernel, *values) for every kernel and every variant {id: (shape, values)}.

    Variants that a kernel does not apply to are left out, kernels that this machine cannot run are
    skipped, and a kernel that nothing applies to is an error: none goes untested. The reference
    kernels, which are slow, may be left out where a shape is large because of the others' blocks.
    With an `algorithm` the list is of the kernels <operator>_<algorithm>... alone.
    """
    params = []
    for kernel in registry(operator, *directions):
        if not kernel.name.startswith(f"{operator}_{algorithm}"):
            continue
        if kernel.is_reference and not references:
            continue
        if _kernels.sanitizer == "thread" and kernel.isa not in ("baseline", _kernels.active_isa()):
            continue  # all ISAs share out their tasks and memory alike
        if not kernel.is_usable:
            width = len(next(iter(variants.values()))[1])
            skip = pytest.mark.skip(reason=f"needs {kernel.isa}, which is not active")
            params.append(pytest.param(kernel, *[None] * width, id=kernel.name, marks=skip))
            continue
        applicable = [
            pytest.param(kernel, *values, id=f"{kernel.name}-{name}")
            for name, (shape, values) in variants.items()
            if kernel.applies(shape)
        ]
        assert applicable, f"no case applies to {kernel.name}"
        params += applicable
    return params


def assert_same_bits(actual: Array, expected: Array, what: str) -> None:
    """NaN equals NaN of the same payload, and -0.0 is not 0.0."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape, what
    bits = f"u{actual.itemsize}"
    differs = np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(expected).view(bits)
    if differs.any():
        at = tuple(np.argwhere(differs)[0])
        pytest.fail(
            f"{what}: {differs.sum()} of {differs.size} values differ, the first at "
            f"{tuple(map(int, at))}: {actual[at]!r}, expected {expected[at]!r}"
        )

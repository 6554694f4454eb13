"""The module under test, and the list of all its kernels as test parameters.

Importing this file skips the importing tests where the module is not built.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

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
#: More than machines of tests have: plans share out their phases in finer ways.
MANY_THREADS = (16, 64)

#: Sizes around the widths of vectors and register tiles.
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33)


class Kernel(NamedTuple):
    """One line of an operator's registry."""

    operator: str
    name: str
    direction: str
    isa: str
    dtype: str
    packed: bool = False  # with weights packed ahead, where the kernel could do without

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

    def packs_optionally(self, shape: Shape) -> bool:
        """Whether its weights may come packed, but need not."""
        return bool(self.bindings.plan(self.name, **shape)["packing_is_optional"])

    def run(self, *arrays: Any, threads: int, **arguments: Any) -> Any:
        """The kernel's results, flat, on a shape (part of `arguments`) that it applies to."""
        run = getattr(self.bindings, self.direction)
        if self.packed:
            arguments["packed"] = True
        return run(self.name, *arrays, threads=threads, **arguments)


def registry(operator: str, *directions: str) -> list[Kernel]:
    """The kernels of an operator, of the given directions or of all."""
    kernels = [Kernel(operator, *line) for line in getattr(_kernels, operator).kernels()]
    return [kernel for kernel in kernels if not directions or kernel.direction in directions]

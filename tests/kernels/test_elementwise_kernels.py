"""Every element-wise kernel against the reference of its pass, to the bit.

The references are shown to compute what native PyTorch does by tests/ops/test_elementwise.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bindings import (
    ELEMENTWISE,
    SIZES,
    THREADS,
    Array,
    Kernel,
    Shape,
    _kernels,
    assert_same_bits,
    each_kernel,
    registry,
)
from numerics import generator

SPECIALS = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0)

#: The last ones lie around the kernels' blocks of elements.
ALL_SIZES = (*SIZES, 63, 64, 65, 1000, 32767, 32768, 32769, 100_003)


def shape_of(operator: str, size: int) -> Shape:
    """With a value for each number that the operator takes."""
    rng = generator(operator, "parameters")
    names = getattr(_kernels, operator).parameters
    return {"size": size, **{name: rng.uniform(0.1, 2) for name in names}}


def draw(name: str, size: int, dtype: str) -> Array:
    """A quarter of the values is special."""
    rng = generator("elementwise", name, size, dtype)
    values = rng.standard_normal(size).astype(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    specials = np.array([*SPECIALS, tiny, -tiny], dtype)
    return np.where(rng.random(size) < 0.25, rng.choice(specials, size), values)


def operands(kernel: Kernel, size: int) -> list[Array]:
    names = ("x",) if kernel.direction == "forward" else ("dy", "saved")
    return [draw(name, size, kernel.dtype) for name in names]


def reference(kernel: Kernel) -> Kernel:
    return next(
        k
        for k in registry(kernel.operator, kernel.direction)
        if k.is_reference and k.dtype == kernel.dtype
    )


def each_elementwise_kernel() -> list[Any]:
    return [
        param
        for operator in ELEMENTWISE
        for param in each_kernel(
            operator, variants={str(n): (shape_of(operator, n), [n]) for n in ALL_SIZES}
        )
    ]


@pytest.mark.parametrize("in_place", [False, True], ids=["", "in_place"])
@pytest.mark.parametrize("kernel, size", each_elementwise_kernel())
def test_bits_are_the_references(kernel: Kernel, size: int, in_place: bool) -> None:
    arrays, shape = operands(kernel, size), shape_of(kernel.operator, size)
    expected = reference(kernel).run(*arrays, threads=1, **shape)
    for threads in THREADS:
        result = kernel.run(*arrays, in_place=in_place, threads=threads, **shape)
        assert_same_bits(result, expected, f"{threads} threads")

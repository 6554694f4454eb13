"""Every relu kernel against csrc/elementwise/relu.h, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, assert_same_bits, each_kernel
from numerics import generator

SPECIALS = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0)

#: The last ones lie around the kernels' blocks of elements.
ALL_SIZES = (*SIZES, 63, 64, 65, 1000, 32767, 32768, 32769, 100_003)

VARIANTS = {str(size): ({"size": size}, [size]) for size in ALL_SIZES}


def draw(name: str, size: int, dtype: str) -> Array:
    """A quarter of the values is special."""
    rng = generator("relu", name, size, dtype)
    values = rng.standard_normal(size).astype(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    specials = np.array([*SPECIALS, tiny, -tiny], dtype)
    return np.where(rng.random(size) < 0.25, rng.choice(specials, size), values)


@pytest.mark.parametrize("in_place", [False, True], ids=["", "in_place"])
@pytest.mark.parametrize("kernel, size", each_kernel("relu", "forward", variants=VARIANTS))
def test_forward(kernel: Kernel, size: int, in_place: bool) -> None:
    x = draw("x", size, kernel.dtype)
    expected = np.where(x < 0, x.dtype.type(0), x)
    for threads in THREADS:
        y = kernel.run(x, in_place=in_place, threads=threads, size=size)
        assert_same_bits(y, expected, f"{threads} threads")


@pytest.mark.parametrize("in_place", [False, True], ids=["", "in_place"])
@pytest.mark.parametrize("kernel, size", each_kernel("relu", "bwd_input", variants=VARIANTS))
def test_bwd_input(kernel: Kernel, size: int, in_place: bool) -> None:
    dy, y = (draw(name, size, kernel.dtype) for name in ("dy", "y"))
    expected = np.where(y <= 0, dy.dtype.type(0), dy)
    for threads in THREADS:
        dx = kernel.run(dy, y, in_place=in_place, threads=threads, size=size)
        assert_same_bits(dx, expected, f"{threads} threads")

"""Pools, beside what test_every_kernel.py shows: long sums, and offsets in place of indices."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import Kernel, _kernels
from numerics import assert_same_bits, assert_within, sum_tolerance
from pools import PROBLEMS, Adaptive, AveragePool, MaxPool, draw_and_pool
from problem import each_kernel
from windows import pack, unpack

LONG = AveragePool(Adaptive("long", 1, 1, (1024, 1024), (1, 1)), "nchw")
LONG_SUMS = each_kernel("adaptive_avg_pool2d", "forward", problems=[LONG])


@pytest.mark.parametrize("kernel, problem", [p for p in LONG_SUMS if "_f32" in p.id])
def test_long_sums_are_added_up_in_parts(kernel: Kernel, problem: AveragePool) -> None:
    x = np.full(problem.shapes["x"], 0.1, kernel.dtype)  # each addition to a large sum errs alike
    y = kernel.run(x, threads=1, **problem.shape)
    # Parts of 64 additions, on the narrowest vectors in 4 x 4 lanes.
    roundings = 64 + x.size // (64 * 16)
    assert_within(y, x.flat[:1].astype(np.float64), sum_tolerance(y, roundings, kernel.dtype), "")


@pytest.mark.parametrize(
    "problem", [p for p in PROBLEMS["max_pool2d"] if p.record == "offsets"], ids=str
)
def test_offsets_stand_for_indices(problem: MaxPool) -> None:
    expected = draw_and_pool(problem.planes, "ties", "float32").results
    offsets = pack(expected["offsets"], problem.layout)
    indices = _kernels.max_pool2d.expand_offsets(offsets, **problem.shape)
    unpacked = unpack(indices, expected["indices"].shape, problem.layout)
    assert_same_bits(unpacked, expected["indices"], "indices")

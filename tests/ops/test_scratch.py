"""What a call leaves behind: scratch is reused, but a large one goes back to the system."""

import os
import sys
from pathlib import Path

import pytest
import torch

import cnnext.functional
from cnnext.testing import kernels
from cnnext.testing.timing import peak_memory

MIB = 2**20
KEPT = 64 * MIB  # Scratch::kKept


def resident() -> int:
    """Bytes of this process's memory that are backed by pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_large_scratch_is_given_back():
    input, weight = torch.ones(1, 2048, 3, 3), torch.ones(2048, 2048, 3, 3)  # packed: 151 MB

    def call() -> None:
        with kernels.use_kernel("conv2d", kernel):  # which packs the whole filter
            cnnext.functional.conv2d(input, weight)

    kernel = f"conv2d_direct_f32_{kernels.active_isa()}"
    before = resident()
    peak = peak_memory(call)
    left = resident() - before
    if peak is None:
        pytest.skip("the kernel does not let a process reset its peak")
    assert peak > KEPT, "the case needs too little scratch to show anything"
    assert left < KEPT / 4

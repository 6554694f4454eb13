"""Scratch: each call has its own; it is kept for others, and can go back to the system."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import cnnext
from cnnext.testing import kernels
from cnnext.testing.errors import assert_contract
from cnnext.testing.timing import peak_memory
from tests.ops.support import use_threads

MIB = 2**20
KEPT = 128 * MIB  # Scratch::kMaxIdleBytes, and more than other tests leave


def resident() -> int:
    """Bytes of this process's memory that are backed by pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


linux = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


@pytest.fixture(autouse=True)
def _whole_filter() -> Iterator[None]:
    """By a kernel that packs the whole filter into scratch."""
    with kernels.use_kernel("conv2d", f"conv2d_direct_f32_{kernels.active_isa()}"):
        yield


def operands(channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(1, channels, 3, 3), torch.ones(channels, channels, 3, 3)


def test_threads_do_not_share_it(generator: torch.Generator) -> None:
    # Some milliseconds for each thread, so that they meet; both copy rows of the image.
    input = torch.randn(1, 64, 112, 112, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    native = torch.nn.functional.conv2d(input, weight)
    reference = torch.nn.functional.conv2d(input.double(), weight.double())
    with use_threads(2):
        for _ in range(5):
            assert_contract(cnnext.functional.conv2d(input, weight), native, reference)


@linux
def test_large_scratch_is_given_back():
    input, weight = operands(3072)  # packed, 340 MB
    cnnext.empty_cache()
    before = resident()
    peak = peak_memory(lambda: cnnext.functional.conv2d(input, weight))
    cnnext.empty_cache()
    left = resident() - before
    if peak is None:
        pytest.skip("the kernel does not let a process reset its peak")
    assert peak > KEPT, "the case needs too little scratch to show anything"
    assert left < KEPT / 4


@linux
def test_idle_threads_keep_none_of_it() -> None:
    """Each of them needs 9.4 MB at the same time as the others, and lives on."""
    threads = 24
    (input, weight), together = operands(512), threading.Barrier(threads)

    def work(_: int) -> float:
        torch.set_num_threads(1)
        together.wait()
        total = sum(float(cnnext.functional.conv2d(input, weight).sum()) for _ in range(3))
        together.wait()
        return total

    cnnext.empty_cache()
    before = resident()
    with ThreadPoolExecutor(threads) as pool:
        totals = set(pool.map(work, range(threads)))
        cnnext.empty_cache()
        left = resident() - before
    assert totals == {3 * 512 * 512 * 9.0}
    assert left < 32 * MIB

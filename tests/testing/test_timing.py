"""The measuring harness: fair order, discarded beginnings, nothing left changed."""

import gc
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

import cnnext.functional
from cnnext.testing import timing
from cnnext.testing.timing import compare_blocks, memory_growth, peak_cuda_memory, peak_memory

FAST = {"min_block_s": 0.0, "discard_s": 0.0}


def test_order_rotates_and_every_block_runs_one_implementation():
    seen = []
    compare_blocks({name: lambda: None for name in "abc"}, blocks=4, progress=seen.append, **FAST)
    assert "".join(seen) == "abcbcacababc"


def test_result_follows_the_implementations():
    timings = compare_blocks({"slow": lambda: time.sleep(4e-3), "fast": lambda: None}, **FAST)
    assert list(timings) == ["slow", "fast"]
    slow = timings["slow"]
    assert 4e-3 <= slow.p20 <= slow.median <= slow.p80
    assert timings["fast"].median < 1e-3 < slow.median


def test_first_calls_of_a_block_are_not_timed():
    calls = []

    def slow_at_first():
        calls.append(None)
        if len(calls) == 1:
            time.sleep(0.05)

    measured = compare_blocks({"it": slow_at_first}, blocks=1, **FAST)["it"]
    assert measured.p80 < 0.05
    assert measured.n == len(calls) - 1


def test_so_many_calls_are_not_timed():
    calls = []
    measured = compare_blocks({"it": lambda: calls.append(None)}, blocks=2, discard_calls=3, **FAST)
    assert measured["it"].n == len(calls) - 2 * 3


def test_block_lasts_as_long_as_asked():
    begin = time.perf_counter()
    measured = compare_blocks(
        {"it": lambda: time.sleep(1e-3)}, blocks=2, min_block_s=0.03, discard_s=0.01
    )["it"]
    assert time.perf_counter() - begin >= 2 * 0.04
    assert measured.n >= 2


def test_short_calls_are_timed_in_groups():
    measured = compare_blocks({"it": lambda: None}, blocks=1, min_block_s=0, discard_s=1e-3)["it"]
    assert measured.n > 10


def test_threads_and_collector_meanwhile_and_afterwards():
    threads, enabled = torch.get_num_threads(), gc.isenabled()
    seen = []
    compare_blocks(
        {"it": lambda: seen.append((torch.get_num_threads(), gc.isenabled()))}, threads=1, **FAST
    )
    assert set(seen) == {(1, False)}
    assert (torch.get_num_threads(), gc.isenabled()) == (threads, enabled)


def test_restored_after_a_failure():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        compare_blocks({"it": lambda: 1 / 0}, threads=1, **FAST)
    assert torch.get_num_threads() == threads
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("implementations", "blocks", "message"),
    [({}, 1, "must not be empty"), ({"it": lambda: None}, 0, "at least 1, got 0")],
)
def test_nothing_to_time(implementations, blocks, message):
    with pytest.raises(ValueError, match=message):
        compare_blocks(implementations, blocks=blocks)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_peak_memory_sees_what_is_freed_again():
    size = 64 * 2**20
    peak = peak_memory(lambda: torch.ones(size, dtype=torch.uint8))
    if peak is None:
        pytest.skip("the kernel does not let a process reset its peak")
    assert 0.9 * size < peak < 1.5 * size
    assert peak_memory(lambda: None) < size / 8


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_peak_memory_sees_results_whose_memory_is_kept():
    operand = torch.ones(16 * 2**20)
    for _ in range(2):
        peak = peak_memory(lambda: cnnext.functional.relu(operand))
        if peak is None:
            pytest.skip("the kernel does not let a process reset its peak")
        assert 0.9 * operand.nbytes < peak < 1.5 * operand.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_growth_tells_what_stays_from_what_is_freed():
    size, kept = 64 * 2**20, []

    def call():
        kept.append(torch.ones(size, dtype=torch.uint8))
        torch.ones(size, dtype=torch.uint8)

    growth = memory_growth(call)
    if growth is None:
        pytest.skip("the kernel does not let a process reset its peak")
    assert 0.9 * size < growth.resident < 1.5 * size
    assert 1.9 * size < growth.peak < 2.5 * size


def test_peak_memory_is_unknown_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory(lambda: pytest.fail("must not run")) is None


class FakeGpu:
    """Calls take 10 us to start and 100 us to run; the clock is its own."""

    LAUNCH, RUN = 10e-6, 100e-6

    def __init__(self):
        self.now = self.free = 0.0
        self.groups = [0]

    def perf_counter(self):
        return self.now

    def call(self):
        self.now += self.LAUNCH
        self.free = max(self.free, self.now) + self.RUN
        self.groups[-1] += 1

    def synchronize(self):
        self.now = max(self.now, self.free)
        self.groups.append(0)


def test_synchronized_groups_measure_what_the_calls_started(monkeypatch):
    gpu = FakeGpu()
    monkeypatch.setattr(timing, "time", gpu)
    measured = compare_blocks({"it": gpu.call}, blocks=1, synchronize=gpu.synchronize)["it"]
    assert gpu.RUN <= measured.median < 1.01 * gpu.RUN
    # One synchronization after each timed group, each group the same and 1 ms or longer.
    group = gpu.groups[-2]
    assert group * gpu.RUN >= 1e-3
    timed_groups = measured.n // group
    assert gpu.groups[-1 - timed_groups :] == [group] * timed_groups + [0]


def test_slow_first_calls_do_not_shorten_the_groups(monkeypatch):
    gpu = FakeGpu()
    monkeypatch.setattr(timing, "time", gpu)

    def slow_at_first():
        if gpu.groups == [0]:
            gpu.now += 5.0
        gpu.call()

    compare_blocks({"it": slow_at_first}, blocks=1, synchronize=gpu.synchronize)
    assert gpu.groups[-2] * gpu.RUN >= 1e-3


def test_each_block_runs_in_the_setting_of_its_implementation():
    inside, seen = [], []

    @contextmanager
    def setting(name):
        inside.append(name)
        yield
        inside.remove(name)

    calls = {name: lambda name=name: seen.append(inside == [name]) for name in "ab"}
    compare_blocks(calls, blocks=2, setting=setting, **FAST)
    assert all(seen)
    assert inside == []


def test_peak_cuda_memory_is_what_the_call_adds(monkeypatch):
    allocated = {"now": 100, "peak": 900}
    fake = SimpleNamespace(
        synchronize=lambda: None,
        reset_peak_memory_stats=lambda: allocated.update(peak=allocated["now"]),
        memory_allocated=lambda: allocated["now"],
        max_memory_allocated=lambda: allocated["peak"],
    )
    monkeypatch.setattr(torch, "cuda", fake)
    assert peak_cuda_memory(lambda: allocated.update(peak=150)) == 50


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_peak_cuda_memory_sees_what_is_freed_again():
    size = 64 * 2**20
    peak = peak_cuda_memory(lambda: torch.ones(size, dtype=torch.uint8, device="cuda"))
    assert size <= peak < 1.1 * size
    assert peak_cuda_memory(lambda: None) == 0

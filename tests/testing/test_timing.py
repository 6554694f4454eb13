"""The measuring harness: fair order, discarded beginnings, nothing left changed."""

import gc
import sys
import time

import pytest
import torch

from cnnext.testing.timing import compare_blocks, peak_memory

FAST = {"min_block_s": 0.0, "discard_s": 0.0}


def test_order_rotates_and_every_block_runs_one_contestant():
    seen = []
    compare_blocks({name: lambda: None for name in "abc"}, blocks=4, progress=seen.append, **FAST)
    assert "".join(seen) == "abcbcacababc"


def test_result_follows_the_contestants():
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

    timing = compare_blocks({"it": slow_at_first}, blocks=1, **FAST)["it"]
    assert timing.p80 < 0.05
    assert timing.n == len(calls) - 1


def test_block_lasts_as_long_as_asked():
    begin = time.perf_counter()
    timing = compare_blocks(
        {"it": lambda: time.sleep(1e-3)}, blocks=2, min_block_s=0.03, discard_s=0.01
    )["it"]
    assert time.perf_counter() - begin >= 2 * 0.04
    assert timing.n >= 2


def test_short_calls_are_timed_in_groups():
    timing = compare_blocks({"it": lambda: None}, blocks=1, min_block_s=0, discard_s=1e-3)["it"]
    assert timing.n > 10


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
    ("contestants", "blocks", "message"),
    [({}, 1, "must not be empty"), ({"it": lambda: None}, 0, "at least 1, got 0")],
)
def test_nothing_to_time(contestants, blocks, message):
    with pytest.raises(ValueError, match=message):
        compare_blocks(contestants, blocks=blocks)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_peak_memory_sees_what_is_freed_again():
    size = 64 * 2**20
    peak = peak_memory(lambda: torch.ones(size, dtype=torch.uint8))
    if peak is None:
        pytest.skip("the kernel does not let a process reset its peak")
    assert 0.9 * size < peak < 1.5 * size
    assert peak_memory(lambda: None) < size / 8


def test_peak_memory_is_unknown_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory(lambda: pytest.fail("must not run")) is None

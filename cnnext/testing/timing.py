"""The measuring harness: alternating blocks, and memory.

Two libraries must not be timed call by call in turn: the worker threads of the one keep spinning
for some milliseconds after a call and slow the other down by a factor of two and more. So each
implementation runs alone for a block, whose beginning is discarded, and the blocks alternate, so
that a change of clock frequency or of other load meets all implementations alike.

A GPU computes after the call has returned. There the calls of a group are followed by one
``synchronize`` inside the timed span, and the groups are long enough to make its cost small.
"""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cnnext.runtime.memory import empty_cache

# Calls shorter than this are timed several at a time, to keep the clock's own cost below 1 %.
_MIN_SAMPLE_S = 20e-6

# The same for groups that end with a synchronization, which takes some microseconds.
_MIN_SYNCHRONIZED_S = 1e-3


@dataclass(frozen=True)
class Timing:
    """Time of one call in seconds: percentiles of the blocks' medians, and the calls timed."""

    median: float
    p20: float
    p80: float
    n: int


def compare_blocks(
    implementations: Mapping[str, Callable[[], object]],
    *,
    min_block_s: float = 0.2,
    discard_s: float = 0.02,
    discard_calls: int = 1,
    blocks: int = 5,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
    synchronize: Callable[[], None] | None = None,
    setting: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> dict[str, Timing]:
    """Time callables against each other in alternating blocks.

    Each block runs one implementation alone: for ``discard_s`` untimed (at least
    ``discard_calls``), then for ``min_block_s`` timed (at least one call). The order rotates from
    round to round. The garbage collector is off meanwhile.

    Args:
        implementations: the calls to time, by name.
        min_block_s: timed seconds in a block.
        discard_s: untimed seconds at the beginning of a block.
        discard_calls: untimed calls; the first ones with large results meet memory that the
            implementation before gave back to the system.
        blocks: blocks for each implementation.
        threads: PyTorch's intra-op threads meanwhile; None leaves them.
        progress: called with an implementation's name after each of its blocks.
        synchronize: waits for what the calls have started, as ``torch.cuda.synchronize`` does;
            None if they do all their work before they return.
        setting: a context for each block of an implementation, by its name.

    Returns:
        The implementations' timings, in the order given.

    Raises:
        ValueError: no implementations, or no blocks.
    """
    if not implementations:
        raise ValueError("implementations must not be empty")
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    names = list(implementations)
    medians: dict[str, list[float]] = {name: [] for name in names}
    calls = dict.fromkeys(names, 0)
    with torch_threads(threads), collector_off():
        for name in alternating(names, blocks):
            with setting(name):
                block = run_block(
                    implementations[name],
                    min_block_s=min_block_s,
                    discard_s=discard_s,
                    discard_calls=discard_calls,
                    synchronize=synchronize,
                )
            medians[name].append(block.median)
            calls[name] += block.n
            if progress is not None:
                progress(name)
    return {name: summarize(medians[name], calls[name]) for name in names}


def alternating(names: Sequence[str], blocks: int) -> Iterator[str]:
    """Each of the names once a round, in an order that rotates from round to round."""
    for round_ in range(blocks):
        first = round_ % len(names)
        yield from (*names[first:], *names[:first])


class Block(NamedTuple):
    """Median time of one call in seconds, and the calls timed."""

    median: float
    n: int


def run_block(
    call: Callable[[], object],
    *,
    min_block_s: float = 0.2,
    discard_s: float = 0.02,
    discard_calls: int = 1,
    synchronize: Callable[[], None] | None = None,
) -> Block:
    """One block of ``compare_blocks``, whose arguments these are."""
    clock = time.perf_counter
    finished = clock if synchronize is None else _clock_after(synchronize)
    begin = now = clock()
    untimed = 0
    while untimed < max(1, discard_calls) or now - begin < discard_s:
        call()
        untimed += 1
        now = finished()
    if synchronize is None:
        repeat = math.ceil(_MIN_SAMPLE_S * untimed / max(now - begin, 1e-9))
    else:
        repeat = _synchronized_group(call, finished)
    samples: list[float] = []
    begin = clock()
    end = begin
    while not samples or end - begin < min_block_s:
        start = clock()
        for _ in range(repeat):
            call()
        end = finished()
        samples.append((end - start) / repeat)
    return Block(statistics.median(samples), repeat * len(samples))


def _clock_after(synchronize: Callable[[], None]) -> Callable[[], float]:
    def finished() -> float:
        synchronize()
        return time.perf_counter()

    return finished


def _synchronized_group(call: Callable[[], object], finished: Callable[[], float]) -> int:
    """How many calls make a group long enough.

    Tried out, because a call alone waits longer for the GPU than one of many.
    """
    repeat = 1
    while True:
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        if finished() - start >= _MIN_SYNCHRONIZED_S:
            return repeat
        repeat *= 2


def summarize(medians: Sequence[float], calls: int) -> Timing:
    """The median of the blocks' medians, and their percentiles 20 and 80."""
    if len(medians) == 1:
        return Timing(medians[0], medians[0], medians[0], calls)
    fifths = statistics.quantiles(medians, n=5, method="inclusive")
    return Timing(statistics.median(medians), fifths[0], fifths[3], calls)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """PyTorch's intra-op threads for a while; None leaves them as they are."""
    if threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """Whether cuDNN tries its algorithms out, for a while."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def collector_off() -> Iterator[None]:
    """No collection of garbage for a while, but one at the beginning."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class MemoryGrowth(NamedTuple):
    """Bytes by which a call raises the resident memory: for good, and at its peak."""

    resident: int
    peak: int


def memory_growth(call: Callable[[], Any]) -> MemoryGrowth | None:
    """What ``call`` does to the resident memory; None, without calling it, if unknown.

    Linux only: the process' peak is reset through ``/proc/self/clear_refs`` and read back.
    """
    if sys.platform != "linux":
        return None
    gc.collect()
    _return_free_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    except OSError:
        return None
    before = _status_bytes("VmRSS")
    call()
    peak = _status_bytes("VmHWM")
    gc.collect()
    _return_free_memory()
    return MemoryGrowth(max(0, _status_bytes("VmRSS") - before), max(0, peak - before))


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Bytes by which ``call`` raises the resident memory at its peak; None if unknown.

    Run ``call`` once before, or its one-time allocations (plans, threads) count as well.
    """
    growth = memory_growth(call)
    return None if growth is None else growth.peak


def peak_cuda_memory(call: Callable[[], Any]) -> int:
    """Bytes by which ``call`` raises what PyTorch has allocated on the GPU at its peak."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _return_free_memory() -> None:
    """Give the free pages of allocators back, so that a call's use of them is seen."""
    empty_cache()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:  # glibc has it, musl has not
        malloc_trim(0)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")

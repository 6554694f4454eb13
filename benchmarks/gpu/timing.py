"""Alternating blocks of calls, timed by the GPU's own clock."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from benchmarks.gpu.comparison import Call, Implementation
from cnnext.testing.timing import Timing, summarize

#: Seconds that the work takes on the device.
Clock = Callable[[Callable[[], object]], float]

#: Implementations with their calls.
Ready = Mapping[Implementation, Sequence[Call]]
Timer = Callable[[Ready], Mapping[Implementation, Timing]]


def cuda_clock(work: Callable[[], object]) -> float:
    """Between two events on the current stream, which the host waits for."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def time_blocks(
    ready: Ready,
    clock: Clock = cuda_clock,
    *,
    blocks: int = 7,
    block_s: float = 0.03,
    discard_s: float = 0.02,
) -> dict[Implementation, Timing]:
    """Times implementations against each other.

    A block is one of them alone: about ``discard_s`` untimed, then about ``block_s`` timed as a
    whole. The order rotates from round to round. A time is the median of the blocks.
    """
    implementations = list(ready)
    turns = {c: itertools.cycle(calls) for c, calls in ready.items()}
    samples: dict[Implementation, list[float]] = {c: [] for c in implementations}
    timed = dict.fromkeys(implementations, 0)
    gc.collect()
    gc.disable()
    try:
        for round_ in range(blocks):
            first = round_ % max(len(implementations), 1)
            for c in implementations[first:] + implementations[:first]:
                with c.context():
                    once = clock(lambda c=c: _run(turns[c], 1))
                    times = max(1, math.ceil(discard_s / max(once, 1e-7)))
                    each = clock(lambda c=c, times=times: _run(turns[c], times)) / times
                    times = max(1, math.ceil(block_s / max(each, 1e-7)))
                    seconds = clock(lambda c=c, times=times: _run(turns[c], times))
                samples[c].append(seconds / times)
                timed[c] += times
    finally:
        gc.enable()
    return {c: summarize(samples[c], timed[c]) for c in implementations}


def _run(turn: Iterator[Call], times: int) -> None:
    for call in itertools.islice(turn, times):
        call()

"""What other processes do to the cores while something is being measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cnnext.testing.machine import usable_cores

# Above this many cores, a parallel region often waits for a worker thread that was preempted.
_QUIET_CORES = 0.1


class OtherLoad:
    """Watches, from its creation on, how busy others keep the cores this process may use.

    Others are other processes and, in a virtual machine, its host (time stolen), but not the
    child processes that have been waited for. Linux only.
    """

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._own = _own_seconds()
        self._all = _busy_seconds()

    def cores(self) -> float | None:
        """Cores that others kept busy on average; None if unknown."""
        now = _busy_seconds()
        if self._all is None or now is None:
            return None
        others = (now - self._all) - (_own_seconds() - self._own)
        # The two clocks tick differently, so that the difference may be a little below zero.
        return max(0.0, others) / (time.perf_counter() - self._wall)

    def warning(self) -> str | None:
        """One sentence if the machine was too busy for its times to be trusted."""
        cores = self.cores()
        if cores is None or cores <= _QUIET_CORES:
            return None
        return (
            f"other processes kept {cores:.1f} of {usable_cores()} cores busy meanwhile:"
            " measure again on a quiet machine before trusting these times"
        )


def _own_seconds() -> float:
    """Processor time of this process and of the children that it has waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    """Seconds that the usable cores have not been idle since the system started."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    except (OSError, AttributeError):
        return None
    ticks = 0
    for line in lines:
        name, *fields = line.split()
        if name in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")

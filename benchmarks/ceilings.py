"""Measure what this machine can do at best, which kernels are judged by.

    make ceilings ARGS=FILE

In every ISA, on one thread and on all: multiply-adds in registers alone, and reads and copies of
what lies in each cache and in memory (``loops/``), timed in one run of alternating blocks. A row of
FILE is one of these loops: where its operands lie, and the work of a call, in floating-point
operations (a multiply-add counted as two) or in bytes (a copied one counted once).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import _loops
import numpy as np
import torch

from cnnext.cli import results
from cnnext.cli.arguments import output_file, thread_count
from cnnext.cli.table import format_table
from cnnext.testing import kernels, machine
from cnnext.testing.load import OtherLoad
from cnnext.testing.timing import compare_blocks

# What a thread does in a call: some milliseconds of work, of which its start, about 20 us, is 1 %;
# a longer call would meet more of what others do.
_FLOPS = 500_000_000
_BYTES = 1 << 29

# So much larger than caches that next to nothing is found there.
_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Ceiling:
    """A loop on some threads, which together walk through a working set of so many bytes."""

    loop: str
    level: str
    isa: str
    threads: int
    working_set: int
    call: Callable[[], int]  # returns the work that it was

    def __str__(self) -> str:
        return f"{self.loop} {self.level} {self.isa} {self.threads}"


def multiply_adds(isa: str, threads: int) -> Ceiling:
    """The peak of an ISA's arithmetic."""
    steps = max(1, _FLOPS // _loops.multiply_add(isa, 1))
    call = partial(_loops.multiply_add, isa, steps, threads=threads)
    return Ceiling("multiply-add", "registers", isa, threads, 0, call)


def walks(isa: str, threads: int, floats: np.ndarray) -> Iterator[Ceiling]:
    """Reads, and copies of one half onto the other, of as much of an array as each level holds."""
    for level, size in working_sets(threads).items():
        x = floats[: size // floats.itemsize]
        passes = max(1, _BYTES * threads // size)
        read = partial(_loops.read, isa, x, passes, threads=threads)
        copy = partial(_loops.copy, isa, *x.reshape(2, -1), passes, threads=threads)
        yield Ceiling("read", level, isa, threads, size, read)
        yield Ceiling("copy", level, isa, threads, size, copy)


def working_sets(threads: int) -> dict[str, int]:
    """By level, as many bytes as lie there: half of what the threads' caches hold, if known."""
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    sets = {}
    for cache in sorted(Path(f"/sys/devices/system/cpu/cpu{core}/cache").glob("index*")):
        facts = {name: (cache / name).read_text().strip() for name in ("type", "level", "size")}
        if facts["type"] != "Instruction":
            sharing = int((cache / "shared_cpu_map").read_text().replace(",", ""), 16).bit_count()
            count = -(-threads // sharing)
            sets[f"L{facts['level']}"] = count * int(facts["size"].removesuffix("K")) * 1024 // 2
    return sets | {"memory": _MEMORY_BYTES}


def aligned_floats(size: int) -> np.ndarray:
    """So many bytes of memory that nobody shares, in floats, aligned as the loops want them."""
    raw = np.ones(size + _loops.alignment, np.uint8)
    start = -raw.ctypes.data % _loops.alignment
    return raw[start : start + size].view(np.float32)


def measure(isas: Iterable[str], thread_counts: Iterable[int], **blocks: Any) -> list[results.Row]:
    """The rows of all loops, in these ISAs on these numbers of threads."""
    thread_counts = sorted(set(thread_counts))
    floats = aligned_floats(max(max(working_sets(n).values()) for n in thread_counts))
    ceilings = [
        ceiling
        for isa in isas
        for threads in thread_counts
        for ceiling in (multiply_adds(isa, threads), *walks(isa, threads, floats))
    ]
    timings = compare_blocks({str(ceiling): ceiling.call for ceiling in ceilings}, **blocks)
    return [
        {
            "loop": ceiling.loop,
            "level": ceiling.level,
            "isa": ceiling.isa,
            "threads": ceiling.threads,
            "working_set": ceiling.working_set,
            "work": ceiling.call(),
            "times": asdict(timings[str(ceiling)]),
        }
        for ceiling in ceilings
    ]


def table(rows: Iterable[results.Row]) -> str:
    """Work per second in billions: a line for each loop, a column for each ISA and thread count."""
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        unit = "Gflop/s" if row["loop"] == "multiply-add" else "GB/s"
        column = f"{row['isa']}, {row['threads']}"
        cells = lines.setdefault(f"{row['loop']}, {row['level']}, {unit}", {})
        cells[column] = f"{row['work'] / row['times']['median'] / 1e9:.1f}"
    columns = list(next(iter(lines.values())))
    return format_table(
        ("ISA, threads", *columns),
        [(line, *(cells[column] for column in columns)) for line, cells in lines.items()],
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=output_file)
    parser.add_argument(
        "--threads",
        type=thread_count,
        nargs="+",
        metavar="N",
        default=(1, torch.get_num_threads()),
        help="(default: one, and PyTorch's choice)",
    )
    arguments = parser.parse_args()
    built, load = kernels.built_isas(), OtherLoad()
    isas = built[: built.index(kernels.active_isa()) + 1]
    rows = measure(isas, arguments.threads)
    described = results.describe(max(arguments.threads), load)
    results.write(arguments.file, "ceilings", rows, described)
    print(f"{machine.summary(described)}\n\n{table(rows)}")
    if warning := load.warning():
        print(f"\nWarning: {warning}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

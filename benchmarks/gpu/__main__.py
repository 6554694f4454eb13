"""Measure what is not measured yet, and store each task's rows as soon as they are there.

Exit code 0: all is measured and ours agrees. 1: a result of ours differs, or did not come. 3: the
time was up before all was measured. 2: there is no GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import cnnext
from benchmarks.gpu import rows
from benchmarks.gpu.rows import Row, Store, implementations
from benchmarks.gpu.tasks import Task, all_tasks


def driver_version() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def describe(key: str) -> dict[str, Any]:
    """The GPU, the versions, the state of the sources and the date."""
    properties = torch.cuda.get_device_properties()
    return {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "l2_bytes": properties.L2_cache_size,
        "driver": driver_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cnnext": cnnext.__version__,
        "key": key,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def run(
    tasks: Sequence[Task],
    store: Store,
    measure: Callable[[Task], list[Row]],
    deadline: float,
    device: str = "cuda",
) -> int:
    """Measures the tasks that have no rows yet, until the deadline; the exit code."""
    left = [task for task in tasks if not store.has(task, implementations(task, device))]
    for number, task in enumerate(left):
        if time.monotonic() >= deadline:
            print(f"{len(left) - number} of {len(tasks)} tasks are left for another run")
            return 3
        print(f"{len(tasks) - len(left) + number + 1} of {len(tasks)}: {task}", flush=True)
        try:
            store.put(task, measure(task))
        except torch.AcceleratorError as error:  # no other call on the GPU would succeed
            store.put(task, rows.failed(task, device, error))
            print(f"the GPU failed at {task}: {error}")
            return 1
    wrong = [
        row for row in store.rows if row["implementation"].startswith("cnnext") if not is_right(row)
    ]
    print(f"{len(store.rows)} rows of {len(tasks)} tasks; of ours, {len(wrong)} are not right")
    return 1 if wrong else 0


def is_right(row: Row) -> bool:
    return row["agrees"] == "yes" and "median_ms" in row


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--key", default="", help="stands for the sources; other rows are dropped")
    parser.add_argument("--again", action="store_true", help="drop the rows that are stored")
    parser.add_argument("path", type=Path, help="where the rows are stored")
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    if not torch.cuda.is_available():
        print("PyTorch finds no GPU that it can use.", file=sys.stderr)
        return 2
    machine = describe(options.key)
    store = Store(options.path, machine, again=options.again)
    return run(
        all_tasks(),
        store,
        lambda task: rows.measure(task, l2_bytes=machine["l2_bytes"]),
        deadline,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

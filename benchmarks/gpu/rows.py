"""Rows: one implementation's result on one task; and the file that holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import models, operators
from benchmarks.gpu.comparison import Call, Comparison, Implementation, Verdict
from benchmarks.gpu.tasks import Task, flags, precision
from benchmarks.gpu.timing import Timer, time_blocks
from cnnext.testing.timing import Timing

Row = dict[str, Any]
TASK_FIELDS = ("subject", "case", "dtype", "precision", "direction")


def implementations(task: Task, device: str) -> tuple[str, ...]:
    if task.subject in operators.OPERATORS:
        return operators.names(task.subject, device)
    return models.names(task.direction, device)


def set_up(task: Task, device: str, l2_bytes: int) -> Comparison:
    if task.subject in operators.OPERATORS:
        return operators.comparison(task, device, l2_bytes)
    torch.compiler.reset()
    return models.comparison(task, device)


def measure(
    task: Task,
    device: str = "cuda",
    l2_bytes: int = 0,
    timer: Timer = time_blocks,
    make: Callable[[Task, str, int], Comparison] = set_up,
) -> list[Row]:
    """Checks every implementation, then times those that agree.

    Raises:
        torch.AcceleratorError: the device is in no state to go on.
    """
    with precision(task.precision):
        common = _row(task)
        try:
            comparison = make(task, device, l2_bytes)
        except torch.AcceleratorError:
            raise
        except Exception as error:
            return failed(task, device, error)
        common |= {"copies": comparison.copies, "operand_bytes": comparison.bytes}
        found, ready = {}, {}
        for implementation in comparison.implementations:
            found[implementation], calls = check(implementation, comparison)
            if calls is not None:
                ready[implementation] = calls
        try:
            timings = timer(ready) if ready else {}
        except torch.AcceleratorError:
            raise
        except Exception as error:  # of one of them, which is then said of all
            timings = {}
            found |= dict.fromkeys(ready, _failure(error))
    native = {c.name: timings[c].median for c in timings if not c.ours}
    best = min(native, key=lambda name: native[name], default=None)
    rows = []
    for implementation, result in found.items():
        row = common | {"implementation": implementation.name} | result
        if implementation in timings:
            row |= _times(timings[implementation])
            if implementation.ours and best is not None:
                row |= {"best_native": best, "ratio": native[best] / timings[implementation].median}
        rows.append(row)
    return rows


def failed(task: Task, device: str, error: Exception) -> list[Row]:
    """The rows of a task that came to nothing."""
    return [
        _row(task) | {"implementation": name} | _failure(error)
        for name in implementations(task, device)
    ]


def _row(task: Task) -> Row:
    with precision(task.precision):
        return dict(zip(TASK_FIELDS, task.key, strict=True)) | {"flags": flags()}


def check(
    implementation: Implementation, comparison: Comparison
) -> tuple[Row, Sequence[Call] | None]:
    """What is to be said of an implementation's result; and its calls, if it agrees."""
    try:
        with implementation.context():
            calls = implementation.make()
            verdict = comparison.judge(calls[0]())
    except torch.AcceleratorError:
        raise
    except Exception as error:
        return _failure(error), None
    return _judged(verdict), calls if verdict.agrees else None


def _judged(verdict: Verdict) -> Row:
    error = verdict.error if math.isfinite(verdict.error) else None
    row = {"agrees": "yes" if verdict.agrees else "differs", "error": error, "limit": verdict.limit}
    if not verdict.agrees:
        row["reason"] = f"relative error {verdict.error:.2g}, the limit is {verdict.limit:.2g}"
    return row


def _failure(error: Exception) -> Row:
    lines = str(error).strip().splitlines()
    return {"agrees": "error", "reason": f"{type(error).__name__}: {lines[0] if lines else ''}"}


def _times(timing: Timing) -> Row:
    milliseconds = {f"{name}_ms": 1e3 * getattr(timing, name) for name in ("median", "p20", "p80")}
    return {**milliseconds, "calls": timing.n}


class Store:
    """The rows of one machine and one state of the sources, in a file that is always complete.

    Rows of another machine, PyTorch or source are dropped: they would not compare.
    """

    def __init__(self, path: Path, machine: Mapping[str, Any], *, again: bool = False) -> None:
        self._path = path
        self._machine = dict(machine)
        self.rows: list[Row] = []
        if path.exists() and not again:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if _identity(stored["machine"]) == _identity(machine):
                self.rows = stored["rows"]

    def has(self, task: Task, names: Sequence[str]) -> bool:
        """Whether there is a row for each of the implementations."""
        measured = {row["implementation"] for row in self.rows if _key(row) == task.key}
        return measured.issuperset(names)

    def put(self, task: Task, rows: Sequence[Row]) -> None:
        """Replaces the task's rows, and writes the file."""
        self.rows = [row for row in self.rows if _key(row) != task.key] + list(rows)
        document = {"command": "gpu", "machine": self._machine, "rows": self.rows}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = self._path.with_suffix(".tmp")
        written.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        written.replace(self._path)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[field] for field in TASK_FIELDS)


def _identity(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in machine.items() if name != "date"}

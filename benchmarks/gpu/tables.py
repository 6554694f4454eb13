"""Print the stored rows as tables, every one of them.

python -m benchmarks.gpu.tables FILE
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnext.cli import results
from cnnext.cli.report import Report

Row = Mapping[str, Any]
_MACHINE = ("gpu", "capability", "driver", "torch", "cuda", "cudnn", "cnnext", "date")


def machine_line(machine: Row) -> str:
    """The description in one line."""
    parts = (machine["gpu"], *(f"{name} {machine[name]}" for name in _MACHINE[1:]))
    return " · ".join(parts)


def time_cell(row: Row) -> str:
    """An implementation's time and its spread; the word instead of it where there is none."""
    if "median_ms" not in row:
        return row["agrees"] if row["agrees"] != "yes" else "not timed"
    median, low, high = (f"{row[f'{name}_ms']:.3g}" for name in ("median", "p20", "p80"))
    return f"{median} ({low}–{high})"


def precision_cell(row: Row) -> str:
    """The dtype and, of float32, the flags."""
    if row["dtype"] != "float32":
        return row["dtype"]
    kinds = ", ".join(f"{name} {value}" for name, value in row["flags"].items())
    return f"float32, {row['precision']}: {kinds}"


def reports(rows: Sequence[Row]) -> list[Report]:
    """A table for each subject and direction, a line for each case, dtype and precision."""
    tables: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        tables.setdefault((row["subject"], row["direction"]), []).append(row)
    return [_report(*key, group) for key, group in tables.items()]


def _report(subject: str, direction: str, rows: Sequence[Row]) -> Report:
    names = list(dict.fromkeys(row["implementation"] for row in rows))
    ours = [name for name in names if name.startswith("cnnext")]
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        line = lines.setdefault((row["case"], row["dtype"], row["precision"]), {})
        line[row["implementation"]] = row
    cells = []
    for (case, *_), line in lines.items():
        ratios = (line.get(name, {}).get("ratio") for name in ours)
        cells.append(
            (
                case,
                precision_cell(next(iter(line.values()))),
                *(time_cell(line[name]) if name in line else "" for name in names),
                *("" if ratio is None else f"{ratio:.2f}x" for ratio in ratios),
            )
        )
    return Report(
        f"{subject}-{direction}",
        f"### {subject}, {direction}: ms (p20–p80), speed-up over the best native one",
        ("case", "precision", *names, *(f"speed-up of {name}" for name in ours)),
        cells,
    )


def complaints(rows: Sequence[Row]) -> list[str]:
    """What is said of the rows that have no time."""
    return [
        f"- {' '.join(row[field] for field in ('subject', 'case', 'dtype', 'precision'))}"
        f" {row['direction']}, {row['implementation']}: {row['agrees']}, {row['reason']}"
        for row in rows
        if row["agrees"] != "yes"
    ]


def text(document: Mapping[str, Any]) -> str:
    """A stored document as Markdown."""
    parts = [machine_line(document["machine"])]
    parts += [report.markdown() for report in reports(document["rows"])]
    if found := complaints(document["rows"]):
        parts += ["### Without a time", "\n".join(found)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(text(results.read(Path(sys.argv[1]))))

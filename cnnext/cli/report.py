"""Stored rows as tables, for the terminal and for the README."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cnnext.cli.peer_comparison import PEER_TOLERANCE
from cnnext.cli.results import Row
from cnnext.cli.table import format_table, mebibytes, milliseconds, speed_up
from cnnext.testing.model_pair import CHANNELS_LAST, CNNEXT, IMPLEMENTATIONS, NCHW


@dataclass(frozen=True)
class Report:
    """A table with a title; the README refers to it by its name."""

    name: str
    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def text(self) -> str:
        return f"{self.title}\n\n{format_table(self.headers, self.rows)}"

    def markdown(self) -> str:
        lines = (self.headers, ("---", *["---:"] * (len(self.headers) - 1)), *self.rows)
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"{self.title}\n\n{table}"


def reports(command: str, rows: Sequence[Row]) -> list[Report]:
    """The tables of a stored document, by the command that made its rows."""
    return {"compare": compare_reports, "bench": bench_reports, "peers": peer_reports}[command](
        rows
    )


def compare_reports(rows: Sequence[Row]) -> list[Report]:
    """The tables of ``compare``: agreement, forward time and, if measured, training time."""
    tables = [_agreement(rows)]
    for mode, title in (("forward", "Forward"), ("training", "Training step")):
        measured = [row for row in rows if row[mode] is not None]
        if measured:
            tables.append(_model_times(measured, mode, title))
    return tables


def _agreement(rows: Sequence[Row]) -> Report:
    return Report(
        "agreement",
        f"Largest error against float64, over the largest output{_conditions(rows)}",
        ("model", "batch", "input", "parameters", *IMPLEMENTATIONS, "agrees"),
        [
            (
                row["model"],
                str(row["batch"]),
                row["input"],
                f"{row['parameters']:,}",
                *(f"{row['errors'][name]:.1e}" for name in IMPLEMENTATIONS),
                "yes" if row["agrees"] else "NO",
            )
            for row in rows
        ],
    )


def _model_times(rows: Sequence[Row], mode: str, title: str) -> Report:
    cells = []
    for row in rows:
        seconds = {name: row[mode]["times"][name]["median"] for name in IMPLEMENTATIONS}
        memory = row[mode]["peak_memory"]
        cells.append(
            (
                row["model"],
                str(row["batch"]),
                *(milliseconds(seconds[name]) for name in IMPLEMENTATIONS),
                speed_up(seconds[NCHW], seconds[CNNEXT]),
                speed_up(seconds[CHANNELS_LAST], seconds[CNNEXT]),
                " / ".join(mebibytes(memory[name]) for name in IMPLEMENTATIONS),
            )
        )
    return Report(
        mode,
        f"{title}: time in ms, speed-up of {CNNEXT}, peak memory in MiB in the same order"
        f"{_conditions(rows)}",
        (
            "model",
            "batch",
            *IMPLEMENTATIONS,
            "over NCHW",
            "over channels_last",
            "peak memory",
        ),
        cells,
    )


def _conditions(rows: Sequence[Row]) -> str:
    """What the names of the implementations do not say, for rows measured on a GPU."""
    gpu, backend = rows[0].get("gpu"), rows[0].get("cuda_backend")
    if gpu is None:
        return ""
    return f" ({gpu}; {CHANNELS_LAST} with cudnn.benchmark, {CNNEXT} with cuda_backend={backend})"


def bench_reports(rows: Sequence[Row]) -> list[Report]:
    """The tables of ``bench``: one for each operator and mode, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["op"], row["mode"]), []).append(row)
    return [_op_times(op, mode, group) for (op, mode), group in groups.items()]


def _op_times(op: str, mode: str, rows: Sequence[Row]) -> Report:
    implementations = tuple(rows[0]["times"])
    ours = tuple(name for name in implementations if name.startswith("cnnext"))
    cells = []
    for row in rows:
        seconds = {name: row["times"][name]["median"] for name in implementations}
        best_native = min(seconds[name] for name in implementations if name not in ours)
        cells.append(
            (
                row["case"],
                *(milliseconds(seconds[name]) for name in implementations),
                *(speed_up(best_native, seconds[name]) for name in ours),
            )
        )
    return Report(
        f"{op}-{mode}",
        f"{op}, {mode}: time in ms, speed-up over the better torch",
        ("case", *implementations, *(name.replace("cnnext", "speed-up", 1) for name in ours)),
        cells,
    )


def peer_reports(rows: Sequence[Row]) -> list[Report]:
    """The tables of ``bench --peers``: agreement, time, first result, memory."""
    return [
        _peer_table(
            rows,
            "agreement",
            "Largest error against float64, over the largest output"
            f" (limit {PEER_TOLERANCE:g}; for cnnext also the numerics contract)",
            lambda entry: f"{entry['error']:.1e}",
        ),
        _peer_times(rows),
        _peer_table(
            rows,
            "first-call",
            "Seconds to set the network up, and of the first call",
            lambda entry: f"{entry['prepare_s']:.2f} + {entry['first_call_s']:.2f}",
        ),
        _peer_table(
            rows,
            "memory",
            "Memory in MiB that network and first call have added, and their peak",
            lambda entry: " / ".join(
                map(mebibytes, (entry["resident_bytes"], entry["peak_bytes"]))
            ),
        ),
    ]


def best_peer(row: Row) -> tuple[str, float] | None:
    """The fastest implementation that is not ours, and its time; None if there is none."""
    times = {
        name: entry["times"]["median"]
        for name, entry in row["implementations"].items()
        if not entry["ours"] and entry["times"] is not None
    }
    return min(times.items(), key=lambda item: item[1], default=None)


def _peer_table(rows: Sequence[Row], name: str, title: str, cell: Callable[[Row], str]) -> Report:
    """A table with a row for each network and a column for each implementation."""
    implementations = list(dict.fromkeys(each for row in rows for each in row["implementations"]))
    cells = []
    for row in rows:
        entries = [row["implementations"].get(each) for each in implementations]
        texts = ("-" if each is None or each["failure"] else cell(each) for each in entries)
        cells.append((row["model"], str(row["batch"]), *texts))
    return Report(name, title, ("model", "batch", *implementations), cells)


def _peer_times(rows: Sequence[Row]) -> Report:
    """Times, and the speed-up of cnnext (optimized, where there is that) over the best peer."""
    times = _peer_table(
        rows,
        "forward",
        "Forward: time in ms",
        lambda entry: milliseconds(entry["times"]["median"]),
    )
    ours = "optimized" if "optimized" in times.headers else "converted"
    cells, ratios = [], []
    for row, texts in zip(rows, times.rows, strict=True):
        best, entry = best_peer(row), row["implementations"].get(ours)
        name, ratio = "-", "-"
        if best is not None:
            name = best[0]
            if entry is not None and entry["times"] is not None:
                ratio = speed_up(best[1], entry["times"]["median"])
                ratios.append(best[1] / entry["times"]["median"])
        cells.append((*texts, name, ratio))
    title = times.title
    if len(ratios) > 1:
        mean, worst = statistics.geometric_mean(ratios), min(ratios)
        title += f" ({ours} over the best peer: geometric mean {mean:.2f}x, worst {worst:.2f}x)"
    headers = (*times.headers, "best peer", f"{ours} over it")
    return replace(times, title=title, headers=headers, rows=cells)

"""Stored rows as tables, for the terminal and for the README."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cnnext.cli.implementations import NATIVE
from cnnext.cli.peer_comparison import PEER_TOLERANCE
from cnnext.cli.results import Row
from cnnext.cli.table import format_table, mebibytes, milliseconds, speed_up
from cnnext.testing.model_pair import BASELINES, CHANNELS_LAST, CNNEXT


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
    implementations = tuple(rows[0]["errors"])
    return Report(
        "agreement",
        f"Largest error against float64, over the largest output{_conditions(rows)}",
        ("model", "batch", "input", "parameters", *implementations, "agrees"),
        [
            (
                row["model"],
                str(row["batch"]),
                row["input"],
                f"{row['parameters']:,}",
                *(f"{row['errors'][name]:.1e}" for name in implementations),
                "yes" if row["agrees"] else "NO",
            )
            for row in rows
        ],
    )


def _model_times(rows: Sequence[Row], mode: str, title: str) -> Report:
    implementations = tuple(rows[0][mode]["times"])
    ours = [name for name in implementations if name not in BASELINES]
    cells = []
    for row in rows:
        seconds = {name: row[mode]["times"][name]["median"] for name in implementations}
        memory = row[mode]["peak_memory"]
        cells.append(
            (
                row["model"],
                str(row["batch"]),
                *(milliseconds(seconds[name]) for name in implementations),
                *(speed_up(seconds[base], seconds[name]) for name in ours for base in BASELINES),
                " / ".join(mebibytes(memory[name]) for name in implementations),
            )
        )
    return Report(
        mode,
        f"{title}: time in ms, speed-up of {' and '.join(ours)}, peak memory in MiB in the same"
        f" order{_conditions(rows)}",
        (
            "model",
            "batch",
            *implementations,
            *(
                f"{'' if name == CNNEXT else f'{name} '}over {base.removeprefix('torch ')}"
                for name in ours
                for base in BASELINES
            ),
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
            lambda row, entry: f"{entry['error']:.1e}",
        ),
        _peer_times(rows),
        _peer_table(
            rows,
            "first-call",
            "Seconds to set the network up, and of the first call",
            lambda row, entry: f"{entry['prepare_s']:.3f} + {entry['first_call_s']:.3f}",
        ),
        _peer_memory(rows),
    ]


def best_native(row: Row) -> float | None:
    """The time of native PyTorch in its faster layout; None if there is none."""
    names = [each.name for each in NATIVE]
    return min((time for name, time in _peer_medians(row).items() if name in names), default=None)


def _peer_medians(row: Row) -> dict[str, float]:
    """The times of all that are not ours."""
    return {
        name: entry["times"]["median"]
        for name, entry in row["implementations"].items()
        if not entry["ours"] and entry["times"] is not None
    }


def _peer_table(
    rows: Sequence[Row], name: str, title: str, cell: Callable[[Row, Row], str]
) -> Report:
    """A table with a row for each network and a column for each implementation."""
    implementations = list(dict.fromkeys(each for row in rows for each in row["implementations"]))
    cells = []
    for row in rows:
        entries = [row["implementations"].get(each) for each in implementations]
        texts = ("-" if each is None or each["failure"] else cell(row, each) for each in entries)
        cells.append((row["model"], str(row["batch"]), *texts))
    return Report(name, title, ("model", "batch", *implementations), cells)


def _peer_times(rows: Sequence[Row]) -> Report:
    """Times, and the speed-up of cnnext (optimized, where there is that) over the others."""
    times = _peer_table(
        rows,
        "forward",
        "Forward: time in ms",
        lambda row, entry: milliseconds(entry["times"]["median"]),
    )
    ours = "optimized" if "optimized" in times.headers else "converted"
    factors: dict[str, list[float]] = {"the best peer": [], "native PyTorch": []}
    cells = []
    for row, texts in zip(rows, times.rows, strict=True):
        medians, entry = _peer_medians(row), row["implementations"].get(ours)
        best = min(medians, key=medians.__getitem__, default="-")
        ratios = dict.fromkeys(factors, "-")
        if entry is not None and entry["times"] is not None:
            seconds = entry["times"]["median"]
            for over, other in zip(factors, (medians.get(best), best_native(row)), strict=True):
                if other is not None:
                    factors[over].append(other / seconds)
                    ratios[over] = speed_up(other, seconds)
        cells.append((*texts, best, *ratios.values()))
    sums = [
        f"; {ours} over {over} {statistics.geometric_mean(all_):.2f}x in the geometric mean,"
        f" {min(all_):.2f}x at worst"
        for over, all_ in factors.items()
        if len(all_) > 1
    ]
    title = f"{times.title}{''.join(sums)}"
    headers = (*times.headers, "best peer", f"{ours} over it", "over native")
    return replace(times, title=title, headers=headers, rows=cells)


def _peer_memory(rows: Sequence[Row]) -> Report:
    """Memory beyond what every process would need for the network alone."""

    def cell(row: Row, entry: Row) -> str:
        if entry["resident_bytes"] is None:
            return "-"
        sizes = (entry["resident_bytes"], entry["peak_bytes"])
        return " / ".join(mebibytes(size - row["weight_bytes"]) for size in sizes)

    memory = _peer_table(
        rows,
        "memory",
        "Resident memory in MiB after set-up and first call / at their peak: that of the process,"
        " less that with PyTorch and the runtime imported, less the network's weights",
        cell,
    )
    model, batch, *others = memory.headers
    return replace(
        memory,
        headers=(model, batch, "weights", *others),
        rows=[
            (*texts[:2], mebibytes(row["weight_bytes"]), *texts[2:])
            for row, texts in zip(rows, memory.rows, strict=True)
        ],
    )

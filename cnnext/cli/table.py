"""Plain-text tables and the format of their cells."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "


def format_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a rule below its headers: the first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(_line(cells, widths) for cells in (headers, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{cells[0]:<{widths[0]}}"
    others = (f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))
    return _GAP.join((first, *others)).rstrip()


def milliseconds(seconds: float) -> str:
    """Milliseconds with three significant digits, and never an exponent."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def mebibytes(size: int | None) -> str:
    """A size in MiB, or a dash where it is unknown."""
    return "-" if size is None else f"{size / 2**20:.1f}"


def speed_up(baseline: float, ours: float) -> str:
    """How many times faster than the baseline, from two times."""
    return f"{baseline / ours:.2f}x"

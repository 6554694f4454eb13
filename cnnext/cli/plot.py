"""The speed-ups of ``compare``, and the speeds of ``bench --peers``, as bar charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnext.cli.arguments import UserError, demo_module
from cnnext.cli.report import best_peer
from cnnext.cli.results import Row
from cnnext.testing.model_pair import CHANNELS_LAST, CNNEXT, NCHW

_BASELINES = (NCHW, CHANNELS_LAST)
_TITLES = {"forward": "forward", "training": "training step"}


def check(path: Path) -> None:
    """Raise a UserError unless matplotlib is installed and can write this kind of file."""
    demo_module("matplotlib")
    formats = figure_of(1)[0].canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        raise UserError(f"cannot plot to {str(path)!r}: the name must end in .png, .svg or .pdf")


def speed_ups(path: Path, rows: Sequence[Row]) -> None:
    """Draw cnnext's speed-up over both native layouts, one panel for each measured mode."""
    panels = [mode for mode in _TITLES if any(row[mode] is not None for row in rows)]
    if not panels:
        return
    figure, axes = figure_of(len(panels))
    for axis, mode in zip(axes, panels, strict=True):
        _draw(axis, mode, [row for row in rows if row[mode] is not None])
    axes[0].set_ylabel("speed-up")
    axes[0].legend()
    if rows[0]["gpu"] is not None:
        figure.suptitle(f"{rows[0]['gpu']}, cuda_backend={rows[0]['cuda_backend']}")
    figure.savefig(path)


def peers(path: Path, rows: Sequence[Row]) -> None:
    """Draw every implementation's speed over the best peer's, a group of bars for each network."""
    groups = [(row, best[1]) for row in rows if (best := best_peer(row)) is not None]
    if not groups:
        return
    names = list(dict.fromkeys(name for row, _ in groups for name in row["implementations"]))
    figure, (axis,) = figure_of(1)
    figure.set_figwidth(2 + 0.16 * (len(names) + 2) * len(groups) + 2)
    width = 0.85 / len(names)
    for offset, name in enumerate(names):
        entries = [(row["implementations"].get(name) or {}).get("times") for row, _ in groups]
        heights = [
            best / times["median"] if times else 0
            for times, (_, best) in zip(entries, groups, strict=True)
        ]
        places = [number + (offset - (len(names) - 1) / 2) * width for number in range(len(groups))]
        axis.bar(places, heights, width, label=name)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_ylabel("speed over the best peer")
    axis.set_xticks(range(len(groups)), [_model_label(row) for row, _ in groups])
    figure.legend(loc="outside right upper")
    figure.savefig(path)


def figure_of(panels: int, *, sharey: bool = True) -> tuple[Any, Any]:
    """A figure that needs no display, and its axes, side by side.

    Raises:
        UserError: matplotlib is not installed.
    """
    figure = demo_module("matplotlib.figure").Figure(
        figsize=(1 + 5 * panels, 4), layout="constrained"
    )
    return figure, figure.subplots(1, panels, squeeze=False, sharey=sharey)[0]


def _draw(axis: Any, mode: str, rows: Sequence[Row]) -> None:
    width = 0.8 / len(_BASELINES)
    for offset, baseline in enumerate(_BASELINES):
        heights = [
            row[mode]["times"][baseline]["median"] / row[mode]["times"][CNNEXT]["median"]
            for row in rows
        ]
        places = [number + (offset - 0.5) * width for number in range(len(rows))]
        # Bars start from 1, equal speed, so that a loss points down as far as a gain points up.
        bars = axis.bar(
            places,
            [height - 1 for height in heights],
            width,
            bottom=1,
            label=f"{CNNEXT} over {baseline}",
        )
        axis.bar_label(bars, [f"{height:.2f}x" for height in heights], fontsize=8)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter("{x:g}x")
    axis.margins(y=0.15)
    axis.set_title(_TITLES[mode])
    axis.set_xticks(range(len(rows)), [_model_label(row) for row in rows])


def _model_label(row: Row) -> str:
    return f"{row['model']}\nbatch {row['batch']}"

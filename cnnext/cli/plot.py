"""The speed-ups of ``compare``, and the speeds of ``bench --peers``, as bar charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnext.cli.arguments import UserError, demo_module
from cnnext.cli.implementations import OURS, PEERS
from cnnext.cli.report import best_native
from cnnext.cli.results import Row
from cnnext.testing.model_pair import BASELINES
from cnnext.training.figures import figure_of

_BY_NAME = "implementations"
_TITLES = {"forward": "forward", "training": "training step"}


def check(path: Path) -> None:
    """Raise a UserError unless matplotlib is installed and can write this kind of file."""
    demo_module("matplotlib")
    formats = figure_of(1)[0].canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        raise UserError(f"cannot plot to {str(path)!r}: the name must end in .png, .svg or .pdf")


def speed_ups(path: Path, rows: Sequence[Row]) -> None:
    """Draw our speed-ups over both native layouts, one panel for each measured mode."""
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


def peers(
    path: Path,
    groups: Sequence[tuple[dict[str, Any], Sequence[Row]]],
    metadata: dict[str, str | None] | None = None,
) -> None:
    """Draw every implementation's speed over native's faster layout, a panel for each machine.

    Args:
        path: the file.
        groups: descriptions of machines, each with the rows measured there.
        metadata: of the file, as ``Figure.savefig`` takes it.
    """
    measured = [[row for row in rows if best_native(row) is not None] for _, rows in groups]
    colors = _colors([row for rows in measured for row in rows])
    if not colors:
        return
    figure = demo_module("matplotlib.figure").Figure(
        figsize=(3 + 0.12 * len(colors) * max(map(len, measured)), 3.6 * len(groups)),
        layout="constrained",
    )
    axes = figure.subplots(len(groups), sharey=True, squeeze=False)[:, 0]
    for axis, (described, _), rows in zip(axes, groups, measured, strict=True):
        _draw_peers(axis, rows, colors)
        threads = described["threads"]
        axis.set_title(f"{described['cpu']}, {described['isa']}, threads: {threads}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    with demo_module("matplotlib").rc_context({"svg.hashsalt": "cnnext"}):  # the same file again
        figure.savefig(path, metadata=metadata)


def _colors(rows: Sequence[Row]) -> dict[str, Any]:
    """The color of each implementation of the rows, ours in blue, the others in warm ones."""
    ours = {name: entry["ours"] for row in rows for name, entry in row[_BY_NAME].items()}
    known = [each.name for each in (*PEERS, *OURS)]
    names = sorted(ours, key=lambda name: known.index(name) if name in known else len(known))
    maps = demo_module("matplotlib").colormaps
    colors = {}
    for colormap, group in (
        ("YlOrRd", [name for name in names if not ours[name]]),
        ("Blues", [name for name in names if ours[name]]),
    ):
        for number, name in enumerate(group, start=1):
            colors[name] = maps[colormap](0.15 + 0.75 * number / len(group))
    return colors


def _draw_peers(axis: Any, rows: Sequence[Row], colors: dict[str, Any]) -> None:
    width = 0.85 / len(colors)
    for offset, (name, color) in enumerate(colors.items()):
        speeds = []
        for row in rows:
            times, native = (row[_BY_NAME].get(name) or {}).get("times"), best_native(row)
            speeds.append(native / times["median"] if native and times else 1)
        place = (offset - (len(colors) - 1) / 2) * width
        axis.bar(
            [number + place for number in range(len(rows))],
            [speed - 1 for speed in speeds],
            width,
            bottom=1,
            label=name,
            color=color,
        )
    _speed_axis(axis, rows)
    axis.grid(axis="y", linewidth=0.4)
    axis.set_axisbelow(True)
    axis.margins(x=0.02)
    axis.set_ylabel("speed over native PyTorch")


def _draw(axis: Any, mode: str, rows: Sequence[Row]) -> None:
    ours = [name for name in rows[0][mode]["times"] if name not in BASELINES]
    pairs = [(name, baseline) for name in ours for baseline in BASELINES]
    width = 0.8 / len(pairs)
    for offset, (name, baseline) in enumerate(pairs):
        heights = [
            row[mode]["times"][baseline]["median"] / row[mode]["times"][name]["median"]
            for row in rows
        ]
        place = (offset - (len(pairs) - 1) / 2) * width
        # Bars start from 1, equal speed, so that a loss points down as far as a gain points up.
        bars = axis.bar(
            [number + place for number in range(len(rows))],
            [height - 1 for height in heights],
            width,
            bottom=1,
            label=f"{name} over {baseline}",
        )
        axis.bar_label(bars, [f"{height:.2f}x" for height in heights], fontsize=8)
    _speed_axis(axis, rows)
    axis.margins(y=0.15)
    axis.set_title(_TITLES[mode])


def _speed_axis(axis: Any, rows: Sequence[Row]) -> None:
    """A gain goes up as far as a loss of the same factor goes down."""
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter("{x:g}x")
    axis.set_xticks(range(len(rows)), [_model_label(row) for row in rows])


def _model_label(row: Row) -> str:
    return f"{row['model']}\nbatch {row['batch']}"

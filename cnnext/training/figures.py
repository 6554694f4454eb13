"""Figures that need no display."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cnnext.training.errors import demo_module


def figure_of(panels: int, *, sharey: bool = True) -> tuple[Any, Any]:
    """A figure that needs no display, and its axes, side by side.

    Raises:
        UserError: matplotlib is not installed.
    """
    figure = demo_module("matplotlib.figure").Figure(
        figsize=(1 + 5 * panels, 4), layout="constrained"
    )
    return figure, figure.subplots(1, panels, squeeze=False, sharey=sharey)[0]


def writer_of(figure: Any) -> Callable[[Path], None]:
    """What writes a figure as a PNG, whatever the file is called."""
    return partial(figure.savefig, format="png")

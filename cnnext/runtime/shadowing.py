"""Why a folder of this package has no kernels, and what to do."""

from __future__ import annotations

import importlib.machinery
from collections.abc import Sequence
from pathlib import Path


def why_not_built(package: Path, path: Sequence[str]) -> str:
    """The message for whoever imports the package from this folder, in which nothing is compiled.

    `path` is where Python looks: `sys.path`.

    Most often that is the source folder, where Python was started after `pip install .`: it looks
    there first.
    """
    source = package.parent
    if (installed := _installed_elsewhere(package, path)) is None:
        return (
            f"{package} holds no compiled kernels. They are built by `pip install .` in cnnext's "
            "source folder."
        )
    return (
        f"{package} holds no compiled kernels, and hides the installed cnnext in {installed}: "
        f"Python looks in {source} first, because it was started there or PYTHONPATH names it. "
        "Start it in another folder, or run `cnnext`, which is `python -m cnnext` without that "
        "look (so is `python -P -m cnnext` from Python 3.11 on). To work on the source, build the "
        "kernels in it: `pip install --editable .`."
    )


def _installed_elsewhere(package: Path, path: Sequence[str]) -> Path | None:
    """The folder of a compiled cnnext that would be imported if this one were not found first."""
    for entry in path:
        spec = importlib.machinery.PathFinder.find_spec("cnnext", [entry])
        for folder in (spec and spec.submodule_search_locations) or ():
            found = Path(folder).resolve()
            has_kernels = importlib.machinery.PathFinder.find_spec("cnnext._C", [folder])
            if found != package.resolve() and has_kernels:
                return found
    return None

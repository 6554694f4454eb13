"""Runs what may end the process in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bindings import _kernels


def run_child(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script of this folder, run with the same module under test."""
    folder = Path(__file__).parent
    paths = (str(Path(_kernels.__file__).parent), str(folder))
    return subprocess.run(
        [sys.executable, str(folder / script), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )

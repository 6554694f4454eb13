"""Processes and threads: see the scripts, each of which runs in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pytorch_integration.scripts import SCRIPTS

_ROOT = Path(__file__).parents[2]

#: What one interpreter runs: it takes seconds to start.
TOGETHER = {
    "threads": (
        "python_threads",
        "number_of_threads_changes",
        "affinity_changes",
        "exit_with_threads",
    ),
    "fork": ("fork_after_one_thread", "fork_after_two_threads", "data_loader_fork"),
    "spawn": ("spawn", "forkserver", "data_loader_spawn", "hogwild"),
}


def test_every_script_is_run() -> None:
    assert sorted(SCRIPTS) == sorted(name for names in TOGETHER.values() for name in names)


@pytest.mark.parametrize(
    "scripts",
    [
        pytest.param(names, id=key, marks=pytest.mark.slow if key == "spawn" else ())
        for key, names in TOGETHER.items()
    ],
)
def test_scripts(scripts: tuple[str, ...]) -> None:
    finished = subprocess.run(
        (sys.executable, "-m", "tests.pytorch_integration.scripts", *scripts),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr

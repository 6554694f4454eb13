"""The benchmarks run: one iteration of the small ones, each checked as it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"


def pytest_run(*arguments):
    """Output of a pytest run on the benchmarks, which must succeed."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_small_ones_run():
    names = "lenet5 or lstm_cell_b1_32 or resnet50_relu_2048"
    assert " passed" in pytest_run("--benchmark-disable", "-k", names)

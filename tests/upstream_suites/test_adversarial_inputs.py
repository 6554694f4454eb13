"""Bad and invalid arguments: native's exception or native's result, and never a crash or a hang.

The calls are those of `adversarial`, made by its `worker` in processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda.devices import DEVICES, Device
from tests.upstream_suites.adversarial.known import KNOWN
from tests.upstream_suites.adversarial.worker import CALLS, cases_of

_ROOT = Path(__file__).parents[2]
_EMULATED = DEVICES[1]  # skipped where the engine is not built
_SECONDS = 120


def _verdicts_from(kind: str, first: int) -> tuple[list[str], str]:
    """The verdicts from that case on, and how the process ended if it did not come to the end."""
    command = [sys.executable, "-m", "tests.upstream_suites.adversarial.worker", kind, str(first)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CNNEXT_STRICT": "0"}
    try:
        process = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_SECONDS
        )
        output, end = process.stdout, ""
        if process.returncode != 0:
            end = f"exit code {process.returncode}: {process.stderr[-300:]}"
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        end = f"not finished within {_SECONDS} s"
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[:1] == ["begun"], end
    return lines[1:], end


def test_known_differences_are_of_calls_that_are_made() -> None:
    made = {
        (subject, *case)
        for calls in CALLS.values()
        for subject, call in calls.items()
        for case in call.odd_cases()
    }
    assert made.issuperset(KNOWN), set(KNOWN) - made


@pytest.mark.parametrize("kind", ("functions", "modules", "raw"))
def test_invalid_arguments(kind: str) -> None:
    check(kind)


@pytest.mark.slow
@pytest.mark.parametrize("device", [_EMULATED])
def test_invalid_arguments_of_the_gpu(device: Device) -> None:
    check("emulated")


def check(kind: str) -> None:
    cases = cases_of(kind)
    failures: list[str] = []
    done = 0
    while done < len(cases):
        verdicts, end = _verdicts_from(kind, done)
        answered = zip(cases[done:], verdicts, strict=False)
        failures += [f"{case}: {verdict}" for case, verdict in answered if verdict]
        done += len(verdicts)
        if end:
            failures.append(f"{cases[done]}: {end}")
            done += 1
    assert not failures, "\n".join(failures)

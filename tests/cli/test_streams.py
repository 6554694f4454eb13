"""Where the output goes: terminals without Unicode, readers that stop reading."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnext import cli
from cnnext.cli import selftest


@pytest.fixture(autouse=True)
def _fast(fast_timing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "run", lambda: {"relu": selftest.OK})


def ascii_output_of(*arguments: str) -> bytes:
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding="ascii")) as stream:
        assert cli.main(arguments) == 0
        stream.detach()
    return raw.getvalue()


@pytest.mark.parametrize(
    "arguments", ["bench --op relu --case lenet5_relu1", "compare lenet5", "env"]
)
def test_ascii(arguments: str) -> None:
    assert b"\\x" not in ascii_output_of(*arguments.split())


def test_ascii_of_training(few_digits: Any, tmp_path: Path) -> None:
    out = str(tmp_path / "größer")
    assert b"images to learn from" in ascii_output_of("train", "lenet5", "--epochs=1", "--out", out)


def test_characters_that_ascii_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXT_EXAMPLE", "größer")
    assert b"gr\\xf6\\xdfer" in ascii_output_of("env")


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe that ends with its reader")
def test_reader_that_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = """
import sys
from cnnext import cli
from cnnext.cli import selftest
selftest.run = lambda: {"relu": selftest.OK}
sys.exit(cli.main(["env"]))
"""
    process = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, "")

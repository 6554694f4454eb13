"""What the documents show works: Python runs, commands are understood, targets exist."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest

from cnnext.cli import command_line

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def python_blocks() -> list[object]:
    return [
        pytest.param(match[1], id=f"{path.relative_to(ROOT)}:{line_of(path, match)}")
        for path in DOCUMENTS
        for match in FENCED.finditer(path.read_text())
    ]


def commands(program: str) -> list[object]:
    """The lines shown as commands that begin with `program`, without it and without comments."""
    return [
        pytest.param(shlex.split(match[1].removeprefix(program), comments=True), id=match[1])
        for path in DOCUMENTS
        for match in INDENTED.finditer(path.read_text())
        if match[1].startswith(program)
    ]


def line_of(path: Path, match: re.Match[str]) -> int:
    return path.read_text().count("\n", 0, match.start()) + 1


@pytest.mark.parametrize("source", python_blocks())
def test_python_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(source, "<documentation>", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("arguments", commands("python -m cnnext"))
def test_commands_are_understood(arguments: list[str]) -> None:
    command_line().parse_args(arguments)


@pytest.mark.parametrize("arguments", commands("make "))
def test_targets_exist(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert arguments[0] in targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    missing = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not missing


def test_the_index_links_every_page() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages and pages <= {*LINK.findall((ROOT / "docs/index.md").read_text())}


def test_there_is_something_to_test() -> None:
    assert len(python_blocks()) > 3 and len(commands("python -m cnnext")) > 3

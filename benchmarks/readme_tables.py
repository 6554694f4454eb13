"""Write the README's tables from stored measurements, so that no figure is ever typed.

    python benchmarks/readme_tables.py [--check] [FILE]

In FILE (default: the repository's README.md) the text between the lines

    <!-- begin: compare/forward -->
    <!-- end: compare/forward -->

becomes the table ``forward`` of ``benchmarks/results/compare.json``, with the machine and the
date of the measurement. ``--check`` writes nothing; its exit code is 1 if the file is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from cnnext.cli import report, results
from cnnext.testing import machine

_ROOT = Path(__file__).resolve().parent.parent
RESULTS = _ROOT / "benchmarks" / "results"

_BLOCK = re.compile(
    r"(?P<begin><!-- begin: (?P<file>[\w-]+)/(?P<table>[\w-]+) -->\n)"
    r".*?"
    r"(?P<end><!-- end: (?P=file)/(?P=table) -->)",
    re.DOTALL,
)
_BEGIN = "<!-- begin: "


class TableError(Exception):
    """A marker that cannot be filled, in one sentence."""


def fill(text: str, folder: Path) -> str:
    """Replace what stands between the markers with tables from the JSON files of a folder.

    Raises:
        TableError: a marker has no end, or names a file or a table that does not exist.
    """
    filled, blocks = _BLOCK.subn(lambda block: _filled(block, folder), text)
    if blocks != text.count(_BEGIN):
        raise TableError(f"{text.count(_BEGIN)} blocks begin but {blocks} are well-formed")
    return filled


def _filled(block: re.Match[str], folder: Path) -> str:
    path = folder / f"{block['file']}.json"
    if not path.is_file():
        raise TableError(f"there is no stored result {path}")
    document = results.read(path)
    tables = {table.name: table for table in report.reports(document["command"], document["rows"])}
    if block["table"] not in tables:
        raise TableError(f"{path.name} has no table {block['table']!r}, only {', '.join(tables)}")
    table = tables[block["table"]].markdown()
    return f"{block['begin']}\n{table}\n\n{machine.summary(document['machine'])}\n\n{block['end']}"


def main(argv: list[str] | None = None) -> int:
    """Fill or check the file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the README's tables.")
    parser.add_argument("--check", action="store_true", help="write nothing, 1 if out of date")
    parser.add_argument("file", nargs="?", type=Path, default=_ROOT / "README.md")
    arguments = parser.parse_args(argv)
    text = arguments.file.read_text(encoding="utf-8")
    try:
        filled = fill(text, RESULTS)
    except TableError as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    if filled == text:
        return 0
    if arguments.check:
        print(f"{arguments.file} is out of date: run {Path(__file__).name}", file=sys.stderr)
        return 1
    arguments.file.write_text(filled, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

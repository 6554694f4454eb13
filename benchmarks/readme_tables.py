"""Write the README's tables and plots from stored measurements, so that no figure is ever typed.

    python benchmarks/readme_tables.py [--check] [FILE]

In FILE (default: the repository's README.md) the text between the lines

    <!-- begin: compare/forward -->
    <!-- end: compare/forward -->

becomes the table ``forward`` of ``benchmarks/results/compare.json``, with the machine and the
date of the measurement; a table for each machine where the file has rows of several. The block
``peers/plot`` becomes the picture ``benchmarks/results/peers.svg``, which is drawn again if it was
drawn from other rows. ``--check`` writes nothing; its exit code is 1 if anything is out of date.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

from cnnext.cli import plot, report, results
from cnnext.cli.arguments import UserError
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
_PLOT = "plot"
_LINKED = RESULTS.relative_to(_ROOT).as_posix()


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
    if block["table"] == _PLOT and document["command"] == "peers":
        picture = f"![Speed over native PyTorch]({_LINKED}/{_picture_of(path).name})"
        return "\n\n".join((block["begin"].rstrip(), picture, block["end"]))
    parts = []
    for described, rows in results.by_machine(document):
        tables = {table.name: table for table in report.reports(document["command"], rows)}
        if block["table"] not in tables:
            raise TableError(
                f"{path.name} has no table {block['table']!r}, only {', '.join(tables)}"
            )
        parts += [tables[block["table"]].markdown(), machine.summary(described)]
    return "\n\n".join((block["begin"].rstrip(), *parts, block["end"]))


def _picture_of(path: Path) -> Path:
    return path.with_suffix(".svg")


def _digest(path: Path) -> str:
    """What a picture holds of the file that it was drawn from."""
    return f"sha256 of {path.name}: {hashlib.sha256(path.read_bytes()).hexdigest()}"


def undrawn(text: str, folder: Path) -> list[Path]:
    """The files that the text shows plots of, whose pictures were not drawn from what they hold."""
    files = [
        folder / f"{block['file']}.json"
        for block in _BLOCK.finditer(text)
        if block["table"] == _PLOT
    ]
    pictures = {path: _picture_of(path) for path in files}
    return [
        path
        for path, picture in pictures.items()
        if not (picture.is_file() and _digest(path) in picture.read_text(encoding="utf-8"))
    ]


def main(argv: list[str] | None = None) -> int:
    """Fill or check the file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the README's tables and plots.")
    parser.add_argument("--check", action="store_true", help="write nothing, 1 if out of date")
    parser.add_argument("file", nargs="?", type=Path, default=_ROOT / "README.md")
    arguments = parser.parse_args(argv)
    text = arguments.file.read_text(encoding="utf-8")
    try:
        filled, to_draw = fill(text, RESULTS), undrawn(text, RESULTS)
        if arguments.check:
            if filled == text and not to_draw:
                return 0
            print(f"{arguments.file} is out of date: run {Path(__file__).name}", file=sys.stderr)
            return 1
        for path in to_draw:
            metadata = {"Date": None, "Description": _digest(path)}
            plot.peers(_picture_of(path), results.by_machine(results.read(path)), metadata)
    except (TableError, UserError) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    if filled != text:
        arguments.file.write_text(filled, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Stored measurements: a JSON document of rows with the description of their machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnext.testing import machine

#: A measurement as it is stored: JSON types only, times in seconds, sizes in bytes.
Row = dict[str, Any]


def write(path: Path, command: str, rows: Sequence[Row], threads: int) -> None:
    """Store the rows of a command that ran on so many threads."""
    document = {
        "command": command,
        "machine": machine.describe() | {"threads": threads},
        "rows": list(rows),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """A stored document: ``command``, ``machine`` and ``rows``."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document

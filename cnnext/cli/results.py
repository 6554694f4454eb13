"""Stored measurements: a JSON document of rows with the description of their machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnext.cli.device import CPU, Device
from cnnext.testing import machine
from cnnext.testing.load import OtherLoad

#: A measurement as it is stored: JSON types only, times in seconds, sizes in bytes.
Row = dict[str, Any]


def describe(threads: int, load: OtherLoad, device: Device = CPU) -> dict[str, Any]:
    """The machine, the threads, and the cores that others kept busy since ``load`` began."""
    described = machine.describe() | {"threads": threads, "cores_busy_with_others": load.cores()}
    return described if device.gpu is None else described | machine.describe_gpu()


def write(path: Path, command: str, rows: Sequence[Row], described: dict[str, Any]) -> None:
    """Store the rows of a command with the description of the machine."""
    document = {"command": command, "machine": described, "rows": list(rows)}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """A stored document: ``command``, ``machine`` and ``rows``."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document

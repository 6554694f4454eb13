"""Stored measurements: a JSON document of rows with the description of their machine.

One run writes a document (``write``), or several runs add to one, on whatever machines (``add``):
then each row has a ``machine`` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnext.cli.arguments import UserError
from cnnext.cli.device import CPU, Device
from cnnext.testing import machine
from cnnext.testing.load import OtherLoad

#: A measurement as it is stored: JSON types only, times in seconds, sizes in bytes.
Row = dict[str, Any]

#: What of a machine tells the measurements apart that are added to one document.
_PLACE = ("cpu", "isa", "torch_isa", "threads")


def describe(threads: int, load: OtherLoad, device: Device = CPU) -> dict[str, Any]:
    """The machine, the threads, and the cores that others kept busy since ``load`` began."""
    described = machine.describe() | {"threads": threads, "cores_busy_with_others": load.cores()}
    return described if device.gpu is None else described | machine.describe_gpu()


def write(path: Path, command: str, rows: Sequence[Row], described: dict[str, Any]) -> None:
    """Store the rows of a command with the description of the machine."""
    _store(path, {"command": command, "machine": described, "rows": list(rows)})


def add(path: Path, command: str, row: Row) -> None:
    """Store a network's row with those that the file has, in place of an older one of its kind.

    Raises:
        UserError: the file is no document of the command that rows are added to.
    """
    rows = [each for each in added(path, command) if _kind(each) != _kind(row)]
    models = list(dict.fromkeys(each["model"] for each in (*rows, row)))
    rows = sorted([*rows, row], key=lambda each: (models.index(each["model"]), each["batch"]))
    _store(path, {"command": command, "rows": rows})


def added(path: Path, command: str) -> list[Row]:
    """The rows that ``add`` has stored in the file; none if there is no file.

    Raises:
        UserError: the file is no document of the command that rows are added to.
    """
    if not path.exists():
        return []
    try:
        document = read(path)
        fits = document["command"] == command and "machine" not in document
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise UserError(f"{str(path)!r} holds something else than rows of {command}")
    rows: list[Row] = document["rows"]
    return rows


def _kind(row: Row) -> tuple[Any, ...]:
    return (row["model"], row["batch"], *(row["machine"][name] for name in _PLACE))


def read(path: Path) -> dict[str, Any]:
    """A stored document: ``command``, ``rows`` and, unless each row has its own, ``machine``."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def by_machine(document: dict[str, Any]) -> list[tuple[dict[str, Any], list[Row]]]:
    """The descriptions of the machines, each with its rows.

    Rows whose machines have the same ``machine.summary`` are together, whatever their dates.
    """
    if "machine" in document:
        return [(document["machine"], document["rows"])]
    groups: dict[str, list[Row]] = {}
    for row in document["rows"]:
        groups.setdefault(machine.summary(row["machine"] | {"date": ""}), []).append(row)
    return [(_of_all([row["machine"] for row in rows]), rows) for rows in groups.values()]


def _of_all(machines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first description, with the span of all dates."""
    dates = [each["date"] for each in machines]
    return machines[0] | {"date": " to ".join(dict.fromkeys((min(dates), max(dates))))}


def _store(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

"""``cnnext env``: what is installed and built, and whether every operator works."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any

from cnnext.cli import selftest
from cnnext.testing import kernels, machine


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "env",
        help="show versions, build and machine, and test every operator",
        description=(
            "Show versions, build, machine and settings, and test every operator against native"
            " PyTorch. Exit code 1 if one fails."
        ),
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the facts and the self-test; 1 if an operator fails."""
    facts = collect()
    print(json.dumps(facts, indent=1) if arguments.json else _text(facts))
    return 0 if set(facts["self-test"].values()) == {selftest.OK} else 1


def collect() -> dict[str, Any]:
    """All facts, by section, ready for JSON."""
    described = machine.describe()
    return {
        "versions": {
            **{name: described[name] for name in ("cnnext", "torch", "python", "os")},
            "glibc": " ".join(platform.libc_ver()).strip() or "none",
            "executable": sys.executable,
        },
        "build": kernels.build_info(),
        "machine": {
            "cpu": described["cpu"],
            "cores": described["cores"],
            "threads": described["threads"],
            "ISAs built": list(kernels.built_isas()),
            "ISA detected": kernels.detected_isa(),
            "ISA selected": described["isa"],
            "OpenMP libraries": described["openmp_libraries"],
        },
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith("CNNEXT_")
        },
        "self-test": selftest.run(),
    }


def _text(facts: dict[str, dict[str, Any]]) -> str:
    lines = []
    for section, values in facts.items():
        lines.append(section)
        width = max(map(len, values), default=0)
        lines += [f"  {name:<{width}}  {_value(value)}" for name, value in values.items()]
        lines += [] if values else ["  (none)"]
    return "\n".join((*lines, "", "If something is wrong, paste this into an issue."))


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)

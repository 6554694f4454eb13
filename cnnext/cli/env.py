"""``cnnext env``: what is installed and built, and whether every operator works."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from typing import Any

import torch

from cnnext.cli import selftest
from cnnext.runtime import library
from cnnext.runtime.operator import OPERATORS
from cnnext.testing import kernels, machine

_CUDA_TEST = "self-test on CUDA"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "env",
        help="show versions, build and machine, and test every operator",
        description=(
            "Show versions, build, machine, CUDA and settings, and test every operator against"
            " native PyTorch, on the GPU too if cnnext's kernels can run there. Exit code 1 if one"
            " fails."
        ),
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the facts and the self-test; 1 if an operator fails."""
    facts = collect()
    print(json.dumps(facts, indent=1) if arguments.json else _text(facts))
    results = {*facts["self-test"].values(), *facts.get(_CUDA_TEST, {}).values()}
    return 0 if results == {selftest.OK} else 1


def collect() -> dict[str, Any]:
    """All facts, by section, ready for JSON."""
    described = machine.describe()
    facts = {
        "versions": {
            **{name: described[name] for name in ("cnnext", "torch", "python", "os")},
            "glibc": " ".join(platform.libc_ver()).strip() or "none",
            "executable": sys.executable,
        },
        "build": kernels.build_info(),
        "machine": {
            "cpu": described["cpu"],
            "cores": described["cores"],
            "cache bytes": described["cache_bytes"],
            "threads": described["threads"],
            "ISAs built": list(kernels.built_isas()),
            "ISA detected": kernels.detected_isa(),
            "ISA selected": described["isa"],
            "OpenMP libraries": described["openmp_libraries"],
        },
        "CUDA": _cuda(),
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith("CNNEXT_")
        },
        "self-test": selftest.run(),
    }
    if machine.why_no_gpu() is None and library.why_no_cuda_on(0) is None:
        facts[_CUDA_TEST] = selftest.run_layers("cuda")
    return facts


def _cuda() -> dict[str, Any]:
    """PyTorch's CUDA, the GPUs, our kernels for them, and who computes by the rule of "auto"."""
    built = kernels.build_info()["cuda"]
    architectures = built["architectures"] if built else []
    loaded = library.why_no_cuda is None
    return {
        "version of PyTorch": torch.version.cuda,
        "GPU": {
            str(index): {
                "name": gpu.name,
                "capability": ".".join(map(str, gpu.capability)),
                "covered by the build": library.covers(gpu.capability, architectures),
            }
            for index, gpu in enumerate(machine.gpus())
        },
        "kernels": importlib.import_module("cnnext._C_cuda").__file__ if loaded else None,
        "why no kernels": library.why_no_cuda,
        "auto": {
            name: f"{op.cuda.backend}: {op.cuda.reason}"
            for name, op in sorted(OPERATORS.items())
            if op.cuda is not None
        },
    }


def _text(facts: dict[str, dict[str, Any]]) -> str:
    lines = []
    for section, values in facts.items():
        lines.append(section)
        entries = list(_entries(values)) or [("(none)", "")]
        width = max(len(name) for name, _ in entries)
        lines += [f"  {name:<{width}}  {text}".rstrip() for name, text in entries]
    return "\n".join((*lines, "", "If something is wrong, paste this into an issue."))


def _entries(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of the facts of a section; a nested section's names follow its own."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if value and isinstance(value, dict):
            yield from _entries(value, f"{name} ")
        elif isinstance(value, list | dict):
            yield name, " ".join(map(str, value)) or "none"
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        else:
            yield name, "none" if value is None else str(value)

"""The CUDA kernels compile without a warning, spill no register, and stay within their budget.

Needs nvcc and no GPU. csrc/cuda_budget.json holds the registers and the bytes of shared memory of
every kernel, which decide how many blocks a multiprocessor runs at once. A change that means to
take more writes it again with --write-budget, for review to see.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

Figures = dict[str, dict[str, dict[str, list[int]]]]  # operator, kernel, architecture; RESOURCES
RESOURCES = ("registers", "bytes of shared memory")

# A multiprocessor has 65536 registers, and runs at least kLeastBlocks blocks of kThreads threads
# (csrc/common/cuda_launch.h). Static shared memory has 48 KiB a block.
THREADS = 256
LEAST_BLOCKS = 2
LIMITS = (65536 // (THREADS * LEAST_BLOCKS), 48 * 1024)

QUICK_ARCHITECTURE = "9.0"
GATE_FLAGS = [
    *("-std=c++17", "-Icsrc", "-Werror", "all-warnings"),
    *("-Xptxas", "-v,-warn-spills,-warn-lmem-usage,-Werror"),
]

# What no source may say, the one file that may, and why.
FORBIDDEN = [
    (r"<<<", "", "kernels are launched by launch_blocks, which checks for errors"),
    (r"\batomicAdd\w*", "", "its order of additions, and so the result, differs from run to run"),
    (r"\b(?:__)?asm(?:__)?\s*(?:volatile|__volatile__|goto)?\s*\(", "cuda_primitives.h", "PTX"),
]

ENTRY = re.compile(
    r"Compiling entry function '(?P<kernel>.+)' for 'sm_\w+'"
    r"(?:(?!Compiling entry function)[\s\S])*?"
    r"Used (?P<registers>\d+) registers(?:.*?(?P<shared>\d+) bytes smem)?"
)
INFORMATION = re.compile(r"ptxas info|\s+\d+ bytes stack frame|\s*$")
ENUM = re.compile(r"\benum class (\w+)[^{;]*\{([^}=]*)\}")


def source_violations(root: Path) -> Iterator[str]:
    for path in sorted(root.glob("csrc/**/*")):
        if path.suffix not in (".h", ".cu", ".cuh", ".inc"):
            continue
        text = path.read_text()
        for pattern, permitted, reason in FORBIDDEN:
            if path.name != permitted:
                for match in re.finditer(pattern, text):
                    line = text.count("\n", 0, match.start()) + 1
                    where = f"only {permitted} may hold it" if permitted else "forbidden"
                    yield f"{path}:{line}: `{match[0]}`, {where}: {reason}"


def enumerators(root: Path) -> dict[str, str]:
    """The names of template arguments that demangle as numbers: {"(Pass)0": "forward", ...}."""
    return {
        f"({enum}){value}": name.strip()
        for path in sorted(root.glob("csrc/**/*.h"))
        for enum, names in ENUM.findall(path.read_text())
        for value, name in enumerate(names.split(","))
    }


def readable(name: str, names: dict[str, str]) -> str:
    """A demangled kernel without namespaces, which hold a hash of the file when mangled."""
    name = re.sub(r"cnnext::|\(anonymous namespace\)::", "", name).replace("> >", ">>")
    return re.sub(r"\(\w+\)\d+", lambda match: names.get(match[0], match[0]), name)


def figures(output: str, names: dict[str, str]) -> dict[str, list[int]]:
    """The RESOURCES of every kernel in the output of ptxas -v, demangled."""
    return {
        readable(entry["kernel"], names): [int(entry["registers"]), int(entry["shared"] or 0)]
        for entry in ENTRY.finditer(output)
    }


def complaints(output: str) -> str:
    """What nvcc's output says beyond ptxas -v."""
    return "\n".join(line for line in output.splitlines() if not INFORMATION.match(line))


def budget_violations(measured: Figures, budget: Figures, architectures: list[str]) -> Iterator[str]:
    kernels = {(operator, name) for part in (measured, budget) for operator in part for name in part[operator]}
    for (operator, kernel), architecture in product(sorted(kernels), architectures):
        where = f"csrc/{operator}/cuda.cu: {kernel} for {architecture}"
        found = measured.get(operator, {}).get(kernel, {}).get(architecture)
        allowed = budget.get(operator, {}).get(kernel, {}).get(architecture)
        if found is None and allowed is not None:
            yield f"{where}: in the budget, but there is no such kernel"
        elif found is not None and allowed is None:
            yield f"{where}: {found[0]} {RESOURCES[0]}, {found[1]} {RESOURCES[1]}; not in the budget"
        elif found is not None and allowed is not None:
            for resource, taken, most in zip(RESOURCES, found, allowed, strict=True):
                if taken > most:
                    yield f"{where}: {taken} {resource}, the budget is {most}"


def limit_violations(measured: Figures) -> Iterator[str]:
    for operator, kernels in measured.items():
        for kernel, by_architecture in kernels.items():
            for architecture, found in by_architecture.items():
                for resource, taken, most in zip(RESOURCES, found, LIMITS, strict=True):
                    if taken > most:
                        yield (
                            f"csrc/{operator}/cuda.cu: {kernel} for {architecture}: {taken} "
                            f"{resource}, of which {LEAST_BLOCKS} blocks of {THREADS} threads on a "
                            f"multiprocessor allow {most}"
                        )


def budget_text(nvcc_version: str, measured: Figures) -> str:
    """JSON with a line a kernel."""
    parts = [f'  "nvcc": {json.dumps(nvcc_version)}']
    for operator, kernels in sorted(measured.items()):
        lines = [f"    {json.dumps(k)}: {json.dumps(kernels[k])}" for k in sorted(kernels)]
        parts.append(f"  {json.dumps(operator)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def find_nvcc() -> str | None:
    return shutil.which("nvcc", path=f"{os.environ.get('CUDA_HOME')}/bin") or shutil.which("nvcc")


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    pass


def known_architectures(listed: str, wanted: list[str]) -> list[str]:
    """Of `wanted`, those in the output of nvcc --list-gpu-arch."""
    known = listed.split()
    return [a for a in wanted if "compute_" + a.replace(".", "") in known]

"""CUDA kernels compile without a warning, use no local memory, and stay within their budget.

Needs nvcc and no GPU. csrc/cuda_budget.json holds the registers and the shared memory of every
kernel, which decide how many blocks a multiprocessor runs at once. A change that is meant to take
more writes the budget again, --write-budget, where a review sees it.
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

# (operator, kernel, architecture): one number for each of RESOURCES
Figures = dict[tuple[str, str, str], list[int]]
RESOURCES = ("registers", "bytes of shared memory")

# As csrc/common/cuda/launch.h has them: a multiprocessor holds MIN_BLOCKS blocks of THREADS
# threads. It has 65536 registers, and a block at most 48 KiB of static shared memory.
THREADS, MIN_BLOCKS = 256, 2
LIMITS = (65536 // (THREADS * MIN_BLOCKS), 48 * 1024)

STRICT = [
    *("-std=c++17", "-Icsrc", "-Werror", "all-warnings"),
    *("-Xptxas", "-v,-warn-spills,-warn-lmem-usage,-Werror"),
]

# What no source may hold, the one file that may, and why.
ASM = r"\b_*asm_*(?:\s+_*(?:volatile|goto)_*)*\s*\("
FORBIDDEN = [
    (r"<<<", None, "launch_blocks launches kernels, and checks for errors"),
    (r"\batomicAdd\w*", None, "its order of additions differs from run to run"),
    (ASM, "common/cuda/primitives.h", "only common/cuda/primitives.h has PTX"),
]

# In the output of ptxas -v: a kernel, and what is neither a warning nor an error.
ENTRY = re.compile(
    r"Compiling entry function '(?P<kernel>.+)' for "
    r"(?:(?!Compiling entry function)[\s\S])*?"
    r"Used (?P<registers>\d+) registers(?:.* (?P<shared>\d+) bytes smem)?"
)
INFORMATION = re.compile(r"ptxas info|\s+\d+ bytes stack frame|\s*$")
ENUM = re.compile(r"\benum class (\w+)[^{;]*\{([^}=]*)\}")


def source_violations(root: Path) -> Iterator[str]:
    for path in sorted(root.glob("csrc/**/*")):
        if path.suffix not in (".h", ".cu", ".cuh", ".inc"):
            continue
        file = path.relative_to(root / "csrc").as_posix()
        text = path.read_text()
        for pattern, permitted, reason in FORBIDDEN:
            for match in re.finditer(pattern, text) if file != permitted else ():
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path}:{line}: `{match[0]}` is forbidden: {reason}"


def enumerators(root: Path) -> dict[str, str]:
    """The names of template arguments that demangle as numbers: {"(Pass)0": "forward", ...}."""
    return {
        f"({enum}){value}": name.strip()
        for path in sorted(root.glob("csrc/**/*.h"))
        for enum, names in ENUM.findall(path.read_text())
        for value, name in enumerate(names.split(","))
    }


def readable(name: str, names: dict[str, str]) -> str:
    """A demangled kernel as its source has it: multiply<WeightProduct<float, nchw>>."""
    name = re.sub(r"cnnext::|\(anonymous namespace\)::", "", name).replace("> >", ">>")
    return re.sub(r"\(\w+\)\d+", lambda match: names.get(match[0], match[0]), name)


def resources(output: str, names: dict[str, str]) -> dict[str, list[int]]:
    """What every kernel in the demangled output of ptxas -v takes of RESOURCES."""
    return {
        readable(entry["kernel"], names): [int(entry["registers"]), int(entry["shared"] or 0)]
        for entry in ENTRY.finditer(output)
    }


def complaints(output: str) -> str:
    return "\n".join(line for line in output.splitlines() if not INFORMATION.match(line))


def location(key: tuple[str, str, str]) -> str:
    return f"csrc/{key[0]}/cuda.cu: {key[1]} for {key[2]}"


def limit_violations(measured: Figures) -> Iterator[str]:
    for key, figures in measured.items():
        for resource, taken, limit in zip(RESOURCES, figures, LIMITS, strict=True):
            if taken > limit:
                yield f"{location(key)}: {taken} {resource}, the limit is {limit}"


def budget_violations(measured: Figures, budget: Figures) -> Iterator[str]:
    """Kernels over the budget, or in only one of the two, for the architectures measured."""
    architectures = {architecture for _, _, architecture in measured}
    for key in sorted(measured | budget):
        if key not in budget:
            yield f"{location(key)}: takes {measured[key]}, but is not in the budget"
        elif key in measured:
            for resource, taken, most in zip(RESOURCES, measured[key], budget[key], strict=True):
                if taken > most:
                    yield f"{location(key)}: {taken} {resource}, the budget is {most}"
        elif key[2] in architectures:
            yield f"{location(key)}: in the budget, but there is no such kernel"


def budget_text(nvcc_version: str, measured: Figures) -> str:
    """JSON, a line a kernel."""
    tree: dict[str, dict[str, dict[str, list[int]]]] = {}
    for operator, kernel, architecture in sorted(measured, key=lambda k: (*k[:2], float(k[2]))):
        of_kernel = tree.setdefault(operator, {}).setdefault(kernel, {})
        of_kernel[architecture] = measured[operator, kernel, architecture]
    parts = [f'  "nvcc": {json.dumps(nvcc_version)}']
    for operator, kernels in tree.items():
        lines = [f"    {json.dumps(name)}: {json.dumps(of)}" for name, of in kernels.items()]
        parts.append(f"  {json.dumps(operator)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read_budget(text: str) -> tuple[str, Figures]:
    tree = json.loads(text)
    nvcc_version = tree.pop("nvcc")
    return nvcc_version, {
        (operator, kernel, architecture): figures
        for operator, kernels in tree.items()
        for kernel, of_kernel in kernels.items()
        for architecture, figures in of_kernel.items()
    }


def known_to_nvcc(gpu_arch_list: str, architectures: list[str]) -> list[str]:
    """Those of `architectures` that `nvcc --list-gpu-arch` lists."""
    known = gpu_arch_list.split()
    return [a for a in architectures if f"compute_{a.replace('.', '')}" in known]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compile_all(nvcc: str, root: Path, architectures: list[str]) -> tuple[list[str], Figures]:
    """What nvcc complains of, and the figures of every kernel that it has compiled."""
    flags = json.loads((root / "csrc/cuda.json").read_text())["flags"]
    names = enumerators(root)

    def compile_one(task: tuple[str, str]) -> tuple[str, dict[str, list[int]]]:
        source, architecture = task
        number = architecture.replace(".", "")
        target = f"-gencode=arch=compute_{number},code=sm_{number}"
        with tempfile.TemporaryDirectory() as folder:
            command = [nvcc, *STRICT, *flags, target, "-c", "-o", f"{folder}/cuda.o", source]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        output = done.stdout + done.stderr
        output = subprocess.run(
            ["c++filt", "-p"], input=output, capture_output=True, text=True, check=True
        ).stdout
        complaint = complaints(output)
        if done.returncode or complaint:
            complaint = f"{source} for {architecture}: nvcc {target} says\n{complaint}"
        return complaint, resources(output, names)

    sources = sorted(str(path.relative_to(root)) for path in root.glob("csrc/*/cuda.cu"))
    tasks = list(product(sources, architectures))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(compile_one, tasks))
    measured = {
        (Path(source).parent.name, kernel, architecture): figures
        for (source, architecture), (_, kernels) in zip(tasks, results, strict=True)
        for kernel, figures in kernels.items()
    }
    return [complaint for complaint, _ in results if complaint], measured


def violations(root: Path, options: argparse.Namespace) -> Iterator[str]:
    yield from source_violations(root)
    nvcc = shutil.which("nvcc", path=f"{os.environ.get('CUDA_HOME')}/bin") or shutil.which("nvcc")
    if nvcc is None:
        print("no nvcc: CUDA kernels not compiled")
        return
    version = output_of(nvcc, "--version").partition("release ")[2].partition(",")[0]
    architectures = options.architectures
    if options.all or options.write_budget:
        architectures = json.loads((root / "csrc/cuda.json").read_text())["architectures"]
    if options.all:
        architectures = known_to_nvcc(output_of(nvcc, "--list-gpu-arch"), architectures)
        print(f"nvcc {version}: CUDA kernels compiled for {', '.join(architectures)}")
    complained, measured = compile_all(nvcc, root, architectures)
    yield from complained or limit_violations(measured)
    if complained:
        return
    path = root / "csrc/cuda_budget.json"
    if options.write_budget:
        path.write_text(budget_text(version, measured))
        return
    budget_version, budget = read_budget(path.read_text())
    if version == budget_version:
        yield from budget_violations(measured, budget)
    else:
        print(f"nvcc {version}: not held against the budget, which is of nvcc {budget_version}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--architectures", nargs="+", default=["9.0"], metavar="9.0")
    which.add_argument("--all", action="store_true", help="those of csrc/cuda.json that nvcc knows")
    which.add_argument("--write-budget", action="store_true", help="instead of comparing with it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    found = list(violations(Path(__file__).parents[1], parse(sys.argv[1:])))
    sys.exit("\n".join(found) or None)

"""Is cnnext right on this machine's GPU, and how fast: stage by stage, resumable.

    python tools/gpu_check.py [--list] [--only STAGE ...] [--again] [--minutes M]

Needs a GPU, a PyTorch with CUDA and, to build, nvcc. Each stage leaves what it found in
build/gpu-check/<stage>.json and all it printed in <stage>.log. A stage that passed is not run again
until the sources, PyTorch or the GPU change. Exit code 1 if a stage failed, 2 if there is no GPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_stages import (
    GOLDEN,
    ROOT,
    Check,
    Machine,
    Outcome,
    Runner,
    benchmarks,
    build,
    correctness,
    ended,
    golden,
    results_path,
    run_command,
    sanitizer,
)

#: Seconds that a stage may take, unless --minutes asks for more.
LIMIT = 540.0

TAIL_LINES = 40
PROBE = """
import json, torch
gpu = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "gpu": torch.cuda.get_device_name() if gpu else None,
    "capability": "".join(map(str, torch.cuda.get_device_capability())) if gpu else None,
}))
"""


def summary(check: Check) -> Outcome:
    """All stages' results and all stored rows as tables, in summary.md."""
    folder = check.log.parent
    found = []
    for stage in STAGES[:-1]:
        if result := read(folder, stage.name):
            if result["key"] != stage_key(stage, check.root, check.machine):
                result["status"] += ", before a change"
            found.append(result)
    text = stage_table(found)
    path = results_path(check.machine.gpu)
    outcome = Outcome("recorded", "there are no measurements yet")
    if (check.root / path).exists():
        tables = check.command(sys.executable, "-m", "benchmarks.gpu.tables", path)
        if tables.code:
            outcome = Outcome("failed", f"no tables of {path}: {ended(tables)}")
        else:
            text += f"\n{tables.output}"
            outcome = Outcome("recorded", f"the rows are those of {path}")
    (folder / "summary.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")
    return outcome


@dataclass(frozen=True)
class Stage:
    """A function, and the sources (beside SOURCES) that its result depends on."""

    run: Callable[[Check], Outcome]
    also: tuple[str, ...] = ()
    stops: bool = False  # the rest, if it fails

    @property
    def name(self) -> str:
        return self.run.__name__


STAGES = (
    Stage(build, stops=True),
    Stage(correctness, stops=True),
    Stage(golden, (GOLDEN,)),
    Stage(sanitizer),
    Stage(benchmarks, ("benchmarks/gpu",)),
    Stage(summary),
)
SOURCES = (
    *("csrc", "cnnext", "setup.py", "build_cuda.py", "build_backend.py", "pyproject.toml"),
    *("tests/conftest.py", "tests/cuda", "tests/cuda_on_cpu", "tests/ops"),
)


def key(root: Path, sources: Iterable[str], machine: Machine, without: Iterable[str] = ()) -> str:
    """Stands for the contents of the sources, and for the machine."""
    paths = {
        file
        for source in sources
        for file in [root / source, *(root / source).rglob("*")]
        if file.is_file() and file.suffix not in (".pyc", ".so")
    }
    digest = hashlib.sha256(repr((machine.torch, machine.gpu)).encode())
    for path in sorted(paths - {root / name for name in without}):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()[:16]


def stage_key(stage: Stage, root: Path, machine: Machine) -> str:
    without = {GOLDEN}.difference(stage.also)  # which the golden stage itself writes
    return key(root, (*SOURCES, *stage.also), machine, without)


def read(folder: Path, name: str) -> dict[str, Any] | None:
    try:
        stored: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return stored


def run_stage(stage: Stage, check: Check) -> dict[str, Any]:
    """Runs a stage, and stores and returns its result."""
    check.log.write_text("")
    check.log.with_suffix(".json").unlink(missing_ok=True)
    begin = time.monotonic()
    try:
        outcome = stage.run(check)
    except Exception as error:
        outcome = Outcome("failed", f"{type(error).__name__}: {error}")
    result = {
        "stage": stage.name,
        **outcome._asdict(),
        "key": check.key,
        "gpu": check.machine.gpu,
        "torch": check.machine.torch,
        "seconds": round(time.monotonic() - begin, 1),
        "commands": check.commands,
        "tail": check.output.splitlines()[-TAIL_LINES:],
    }
    check.log.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def run_stages(
    stages: Sequence[Stage],
    machine: Machine,
    options: argparse.Namespace,
    *,
    root: Path = ROOT,
    run: Runner = run_command,
) -> int:
    """Runs what has not passed yet; 1 if any of the stages failed."""
    folder = root / "build/gpu-check"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for stage in stages:
        stage_is = stage_key(stage, root, machine)
        stored = read(folder, stage.name)
        if (
            stored
            and not options.again
            and (stored["status"], stored["key"]) == ("passed", stage_is)
        ):
            print(f"{stage.name}: passed before, {stored['reason']}", flush=True)
            continue
        print(f"{stage.name}: {' '.join((stage.run.__doc__ or '').split())}", flush=True)
        log = folder / f"{stage.name}.log"
        deadline = time.monotonic() + max(LIMIT, 60 * (options.minutes + 1))
        check = Check(machine, log, deadline, stage_is, root, options.minutes, options.again, run)
        result = run_stage(stage, check)
        print(f"{stage.name}: {result['status']}, {result['reason']} ({result['seconds']} s)")
        if result["status"] == "failed":
            failed = True
            print("\n".join(result["tail"]))
            if stage.stops:
                break
    return 1 if failed else 0


def stage_table(results: Iterable[Mapping[str, Any]]) -> str:
    lines = ["| stage | status | seconds | |", "| --- | --- | ---: | --- |"]
    lines += [f"| {r['stage']} | {r['status']} | {r['seconds']} | {r['reason']} |" for r in results]
    return "\n".join(lines) + "\n"


def probe() -> Machine | str:
    """The machine, or in a sentence why nothing can be checked on it."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if done.returncode:
        return f"PyTorch cannot be imported by {sys.executable}."
    return why_not(Machine(**json.loads(done.stdout.splitlines()[-1])))


def why_not(machine: Machine) -> Machine | str:
    if machine.cuda is None:
        return f"This PyTorch, {machine.torch}, has no CUDA: install one that has."
    if machine.gpu is None:
        return f"PyTorch {machine.torch} finds no GPU that it can use."
    return machine


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the stages and end")
    names = [stage.name for stage in STAGES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STAGE")
    parser.add_argument("--again", action="store_true", help="ignore stored results")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="for the benchmarks (default: 8)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{s.name:12} {' '.join((s.run.__doc__ or '').split())}" for s in STAGES))
        return 0
    machine = probe()
    if isinstance(machine, str):
        print(machine, file=sys.stderr)
        return 2
    return run_stages([s for s in STAGES if s.name in options.only], machine, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

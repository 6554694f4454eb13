"""Does the test suite catch faults? Seeds them one after the other and names the tests that fail.

    python tools/seed_faults.py [--only NAME ...] [--list] [--sound] [--json FILE]

The faults are in tools/faults. Everything happens in a copy of the tree, build/faults: there, C++
and CUDA sources hold both the right and the faulty form of each place, are compiled once, and an
environment variable chooses when the library is loaded; in other files, the text is replaced while
the tests run. Exit code 1 if a fault is not caught or, with --sound, if a test fails without one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from faults import FAULTS, Fault

ROOT = Path(__file__).parents[1]
TREE = ROOT / "build/faults"

VARIABLE = "CNNEXT_FAULT"
SWITCH = "csrc/common/kernel/fault_switch"

# A plain variable, which ISA files may read. The engine of tests/cuda_on_cpu, which takes the place
# of the thread sanitizer, would not know its memory, but cannot look into a function.
SWITCH_HEADER = f"""#pragma once
#if defined(__SANITIZE_THREAD__)
extern "C" int cnnext_chosen_fault();
#define {VARIABLE}(number) (cnnext_chosen_fault() == (number))
#else
extern "C" int cnnext_fault;
#define {VARIABLE}(number) (cnnext_fault == (number))
#endif
"""
SWITCH_SOURCE = f"""#include "common/kernel/fault_switch.h"

#include <cstdlib>

extern "C" {{
int cnnext_fault = std::getenv("{VARIABLE}") ? std::atoi(std::getenv("{VARIABLE}")) : 0;
int cnnext_chosen_fault() {{ return cnnext_fault; }}
}}
"""
# It lists its sources, and takes none but adapters and kernels from csrc.
ENGINE = "tests/cuda_on_cpu/operators.cpp"

# A test's id at the beginning of what follows it, in pytest's output.
TEST = r"(tests/[^\s\[]+(?:\[.*?\])?)(?= |$)"
FAILURE = re.compile(rf"^(?:FAILED|ERROR) {TEST}", re.MULTILINE)
RUNNING = re.compile(rf"^{TEST}", re.MULTILINE)


# ---------------------------------------------------------------------------------- the copy


def tracked_files() -> list[str]:
    """Those of the tree that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def copied_files() -> dict[str, bytes]:
    """The content of every file of the copy."""
    files = {name: (ROOT / name).read_bytes() for name in tracked_files()}
    files[f"{SWITCH}.h"] = SWITCH_HEADER.encode()
    files[f"{SWITCH}.cpp"] = SWITCH_SOURCE.encode()
    include = f'#include "{SWITCH.removeprefix("csrc/")}%s"\n'
    files[ENGINE] += (include % ".cpp").encode()
    for name in {fault.file for fault in FAULTS if fault.is_switched}:
        text = files[name].decode()
        for fault in FAULTS:
            if fault.file == name and fault.is_switched:
                text = fault.switched(text)
        files[name] = ((include % ".h") + text).encode()
    return files


def copy_tree() -> None:
    """Bring the copy up to date. What is right already keeps its time, and what was built of it."""
    files = copied_files()
    listing = TREE / "build/files.json"
    before = json.loads(listing.read_text()) if listing.exists() else []
    for name in set(before) - files.keys():
        (TREE / name).unlink(missing_ok=True)
    for name, content in files.items():
        path = TREE / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod((ROOT / name).stat().st_mode if (ROOT / name).exists() else 0o644)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text(json.dumps(sorted(files)))


def build(*, everything: bool = True) -> None:
    """The extension and, with everything, the kernels' NumPy module and the CUDA emulation."""
    commands: list[tuple[str, ...]] = [(sys.executable, "setup.py", "build_ext", "--inplace")]
    if everything:
        python = f"-DPython_EXECUTABLE={sys.executable}"
        objects = f"-DCNNEXT_OBJECTS={TREE / 'build/objects'}"  # those of the extension
        commands += [
            ("cmake", "-S", ".", "-B", "build/cmake", "-G", "Ninja", python, objects),
            ("cmake", "--build", "build/cmake"),
            ("cmake", "-S", "tests/cuda_on_cpu", "-B", "build/cuda_on_cpu", "-G", "Ninja", python),
            ("cmake", "--build", "build/cuda_on_cpu"),
        ]
    for command in commands:
        result = run(command, fault=None)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)} failed in {TREE}:\n{result.stdout[-4000:]}")


@contextmanager
def seeded(fault: Fault) -> Iterator[None]:
    """The fault is in the copy; one that is compiled in is chosen by the environment."""
    if fault.is_switched:
        yield
        return
    path = TREE / fault.file
    right = path.read_text()
    try:
        path.write_text(fault.applied(right))
        if fault.rebuilds:
            build(everything=False)
        yield
    finally:
        path.write_text(right)
        if fault.rebuilds:
            build(everything=False)


# ----------------------------------------------------------------------------------- the runs


def run(command: Sequence[str], fault: Fault | None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": os.pathsep.join((str(TREE), str(TREE / "build/cmake"))),
        # Python would take the compiled file of another source of the same second and size.
        "PYTHONDONTWRITEBYTECODE": "1",
        VARIABLE: str(fault.number) if fault is not None and fault.is_switched else "0",
    }
    return subprocess.run(
        command,
        cwd=TREE,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def command_of(fault: Fault) -> tuple[str, ...]:
    if fault.check:
        return fault.check
    options = ("--exitfirst", "--verbose", "--tb=line", "-rfE", "-p", "no:cacheprovider")
    return (sys.executable, "-m", "pytest", *options, *fault.tests)


def catcher(fault: Fault, result: subprocess.CompletedProcess[str]) -> str | None:
    """What noticed that something is wrong: a test's id, or the check; None if nothing did."""
    if result.returncode == 0:
        return None
    if fault.check:
        return " ".join(fault.check)
    if failures := FAILURE.findall(result.stdout):
        return str(failures[0])
    if result.returncode < 0:  # a test that ended the process; pytest names each before it runs
        *_, running = RUNNING.findall(result.stdout) or ["pytest"]
        return f"{running} (signal {-result.returncode})"
    sys.exit(f"{fault.name}: pytest could not run the tests\n{result.stdout[-4000:]}")


@dataclass(frozen=True)
class Outcome:
    """What came of one fault; `caught_by` is None for one that survived."""

    name: str
    kind: str
    caught_by: str | None
    seconds: float


def outcome(fault: Fault) -> Outcome:
    with seeded(fault):
        start = time.monotonic()
        result = run(command_of(fault), fault)
        seconds = time.monotonic() - start
    return Outcome(fault.name, fault.kind, catcher(fault, result), round(seconds, 1))


def unsound(faults: Sequence[Fault]) -> Iterator[tuple[str, str | None, float]]:
    """Each selection of tests, what fails in it without a fault, and its seconds."""
    for command, fault in {command_of(fault): fault for fault in faults}.items():
        start = time.monotonic()
        failed = catcher(fault, run(command, None))
        selection = " ".join(fault.check or fault.tests)
        yield selection, failed, round(time.monotonic() - start, 1)


def usable_isas() -> Sequence[str]:
    query = "from cnnext.testing import kernels; print(kernels.active_isa())"
    active = run((sys.executable, "-c", query), None).stdout.strip()
    isas = ("baseline", "avx2", "avx512")
    return isas[: isas.index(active) + 1]


# ------------------------------------------------------------------------------- command line


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = (headers, ["-" * width for width in widths], *rows)
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def chosen(names: Sequence[str]) -> list[Fault]:
    known = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"there is no fault {', '.join(unknown)}; --list shows all")
    return [known[name] for name in names] if names else list(FAULTS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="seed these alone")
    parser.add_argument("--list", action="store_true", help="list the faults, and do nothing")
    parser.add_argument("--sound", action="store_true", help="run the tests without a fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the table")
    arguments = parser.parse_args()
    faults = chosen(arguments.only)
    if arguments.list:
        print(table(("fault", "kind", "in"), [(f.name, f.kind, f.file) for f in faults]))
        return 0

    copy_tree()
    build()
    isas = usable_isas()
    for fault in faults:
        if fault.isa not in isas:
            print(f"{fault.name}: this machine has no {fault.isa}")
    faults = [fault for fault in faults if fault.isa in isas]
    if arguments.sound:
        failures = 0
        for selection, failed, seconds in unsound(faults):
            print(f"{seconds:6.1f} s  {selection}: {failed or 'passes'}", flush=True)
            failures += failed is not None
        return 1 if failures else 0

    outcomes = []
    for fault in faults:
        outcomes.append(outcome(fault))
        last = outcomes[-1]
        print(f"{last.seconds:6.1f} s  {last.name}: {last.caught_by or 'SURVIVED'}", flush=True)
    rows = [(o.name, o.kind, o.caught_by or "SURVIVED", f"{o.seconds:.1f}") for o in outcomes]
    print("\n" + table(("fault", "kind", "caught by", "seconds"), rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=2) + "\n")
    survivors = sum(o.caught_by is None for o in outcomes)
    print(f"\n{len(outcomes) - survivors} of {len(outcomes)} faults were caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

"""The stages of tools/gpu_check.py: what each runs, and what its output means."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

TIMED_OUT = 124
GOLDEN = "tests/cuda_on_cpu/golden.json"
RUN_PRIMITIVES = """
import ctypes, json, sys
primitives = ctypes.CDLL(sys.argv[1]).cuda_on_cpu_primitives
primitives.argtypes = [ctypes.POINTER(ctypes.c_uint32), ctypes.c_int]
count = primitives(None, 0)
values = (ctypes.c_uint32 * count)()
if primitives(values, count) != count:
    sys.exit("another number of values the second time")
print(json.dumps(list(values)))
"""
IMPORT_CHECK = "import sys; from cnnext.runtime import library; sys.exit(library.why_no_cuda)"

SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
#: One case an operator: under compute-sanitizer each takes a hundred times as long.
SMALL_SET = "test_cases and float32 and nchw and (several_blocks or groups_of_two_tiles)"
SMALL_SET_SIZE = 8
TESTS = ("-m", "pytest", "tests/cuda", "-m", "cuda", "-q", "--color=no", "-p", "no:cacheprovider")


class Machine(NamedTuple):
    """What the kernels are compiled for and run on; no gpu: None."""

    torch: str
    cuda: str | None
    gpu: str | None
    capability: str | None


class Done(NamedTuple):
    """A command that has ended: its exit status, and all it printed."""

    code: int
    output: str


class Outcome(NamedTuple):
    """What a stage found.

    "passed": it ran, and could have failed. "failed". "unavailable": it cannot run here.
    "recorded": it ran, and compared with nothing. "partial": it has more to do on the next run.
    """

    status: str
    reason: str


Runner = Callable[[Sequence[str], Mapping[str, str], float, Path], Done]


def run_command(argv: Sequence[str], env: Mapping[str, str], limit: float, log: Path) -> Done:
    """Runs a command in the repository, its output appended to `log`; kills it at the limit."""
    with log.open("ab") as file:
        begin = file.tell()
        try:
            process = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdout=file, stderr=file, start_new_session=True
            )
        except OSError as error:
            file.write(f"{error}\n".encode())
            code = 127
        else:
            try:
                code = process.wait(max(limit, 1))
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                code = TIMED_OUT
    return Done(code, log.read_bytes()[begin:].decode(errors="replace"))


@dataclass
class Check:
    """One run of a stage: runs its commands, within its time, and remembers them."""

    machine: Machine
    log: Path
    deadline: float
    key: str = ""
    root: Path = ROOT
    minutes: float = 8.0
    again: bool = False
    run: Runner = run_command
    commands: list[str] = field(default_factory=list)
    output: str = ""

    def command(self, *argv: str, **env: str) -> Done:
        variables = [f"{name}={value}" for name, value in env.items()]
        self.commands.append(shlex.join([*variables, *argv]))
        left = self.deadline - time.monotonic()
        done = self.run(argv, os.environ | env, left, self.log)
        self.output += done.output
        return done


# ------------------------------------------------------------------------------------- judging


def ended(done: Done) -> str:
    return "the time was up" if done.code == TIMED_OUT else f"exit code {done.code}"


def counts_of(output: str) -> dict[str, int]:
    """The counts of pytest's last line: {"passed": 12, "skipped": 1}; empty without such a line."""
    for line in reversed(output.splitlines()):
        if re.search(r"\bin [\d.]+s\b", line):
            return {
                word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", line.split(" in ")[0])
            }
    return {}


def judge_tests(done: Done, at_least: int = 1) -> Outcome:
    """Passed only if tests did pass, and none was skipped because there is no CUDA."""
    counts = counts_of(done.output)
    said = ", ".join(f"{n} {word}" for word, n in counts.items()) or "pytest counted nothing"
    if done.code:
        return Outcome("failed", f"{said}; {ended(done)}")
    if re.search(r"^SKIPPED .*\bno CUDA\b", done.output, re.M):
        return Outcome("failed", f"{said}; some were skipped because there is no CUDA")
    if counts.get("passed", 0) < at_least:
        return Outcome("failed", f"{said}; at least {at_least} had to pass")
    return Outcome("passed", said)


def judge_sanitizer(done: Done) -> Outcome:
    if "Device not supported" in done.output:
        line = next(line for line in done.output.splitlines() if "Device not supported" in line)
        return Outcome("unavailable", line.strip())
    return judge_tests(done, SMALL_SET_SIZE)


def worst(outcomes: Mapping[str, Outcome]) -> Outcome:
    """Several outcomes as one, with the worst of their statuses."""
    statuses = {outcome.status for outcome in outcomes.values()}
    status = next(status for status in ("failed", "unavailable", "passed") if status in statuses)
    return Outcome(
        status, "; ".join(f"{name}: {o.status}, {o.reason}" for name, o in outcomes.items())
    )


def difference(values: Sequence[int], golden: Sequence[int]) -> str:
    """Where two lists differ first; nothing if they are equal."""
    if len(values) != len(golden):
        return f"{len(values)} values here, {len(golden)} in {GOLDEN}"
    for i, (ours, theirs) in enumerate(zip(values, golden, strict=True)):
        if ours != theirs:
            return f"value {i} is {ours:#010x} here, {theirs:#010x} in {GOLDEN}"
    return ""


def results_path(gpu: str | None) -> str:
    """Where a GPU's measurements are stored: benchmarks/results/nvidia-h200.json."""
    slug = re.sub(r"[^a-z0-9]+", "-", (gpu or "").lower()).strip("-")
    return f"benchmarks/results/{slug}.json"


def cuda_tool(name: str) -> str | None:
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which(name, path=f"{home}/bin") or shutil.which(name)


# -------------------------------------------------------------------------------------- stages


def build(check: Check) -> Outcome:
    """Builds cnnext with its CUDA kernels into the running Python's environment."""
    pip = ("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--editable", ".")
    built = check.command(sys.executable, *pip, CNNEXT_CUDA="1")
    if built.code:
        return Outcome("failed", f"pip: {ended(built)}")
    loaded = check.command(sys.executable, "-c", IMPORT_CHECK)
    if loaded.code:
        said = loaded.output.strip().splitlines()
        return Outcome("failed", f"no CUDA kernels: {said[-1] if said else ended(loaded)}")
    return Outcome("passed", "built, and loaded by a new process")


def correctness(check: Check) -> Outcome:
    """The tests of tests/cuda on the GPU: against float64 and native PyTorch."""
    return judge_tests(check.command(sys.executable, *TESTS))


def golden(check: Check) -> Outcome:
    """Compares what the GPU's primitives compute, bit for bit, with results recorded on a GPU."""
    nvcc = cuda_tool("nvcc")
    if nvcc is None:
        return Outcome("unavailable", "nvcc was not found")
    library = str(check.log.with_name("primitives.so"))
    options = (
        "-std=c++17",
        f"-arch=sm_{check.machine.capability}",
        "-shared",
        "-Xcompiler",
        "-fPIC",
    )
    source = str(Path(GOLDEN).with_name("primitives.cu"))
    compiled = check.command(nvcc, *options, "-o", library, source)
    if compiled.code:
        return Outcome("failed", f"nvcc: {ended(compiled)}")
    computed = check.command(sys.executable, "-c", RUN_PRIMITIVES, library)
    if computed.code:
        return Outcome("failed", f"the primitives did not run: {ended(computed)}")
    values = json.loads(computed.output)
    if not values:
        return Outcome("failed", "there are no values")
    path = check.root / GOLDEN
    if not path.exists():
        path.write_text(json.dumps(values) + "\n")
        return Outcome("recorded", f"{len(values)} values written to {GOLDEN}")
    found = difference(values, json.loads(path.read_text()))
    return Outcome("failed", found) if found else Outcome("passed", f"{len(values)} equal values")


def sanitizer(check: Check) -> Outcome:
    """compute-sanitizer's tools on a test of each operator."""
    program = cuda_tool("compute-sanitizer")
    if program is None:
        return Outcome("unavailable", "compute-sanitizer was not found")
    outcomes = {}
    for tool in SANITIZERS:
        options = ("--tool", tool, "--error-exitcode", "9", sys.executable)
        outcomes[tool] = judge_sanitizer(
            check.command(
                program, *options, *TESTS, "-k", SMALL_SET, PYTORCH_NO_CUDA_MEMORY_CACHING="1"
            )
        )
    return worst(outcomes)


def benchmarks(check: Check) -> Outcome:
    """Operators and whole models against native PyTorch, into benchmarks/results/<gpu>.json."""
    options = ["--minutes", str(check.minutes), "--key", check.key]
    options += ["--again"] if check.again else []
    path = results_path(check.machine.gpu)
    done = check.command(sys.executable, "-m", "benchmarks.gpu", *options, path)
    said = done.output.strip().splitlines()
    reason = said[-1] if said else ended(done)
    if done.code == TIMED_OUT:
        return Outcome("partial", f"the time was up in {reason}; what was measured is stored")
    statuses = {0: "passed", 3: "partial"}  # as benchmarks/gpu/__main__.py exits
    return Outcome(statuses.get(done.code, "failed"), reason)

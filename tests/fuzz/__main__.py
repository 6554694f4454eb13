"""Draws calls until one fails or the time is over: python -m tests.fuzz --minutes 5.

Rounds of calls run in processes of their own, which note each call before they make it: so a crash,
too, says which call it was. A failure is printed as the command that repeats it.
"""

from __future__ import annotations

import argparse
import random
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, given, settings

from tests.fuzz.calls import Call
from tests.fuzz.checks import check
from tests.fuzz.strategies import calls
from tests.ops.calls import OPS

#: A wrong size must be an error of the allocator, not the end of the machine.
MEMORY = 16 << 30

#: Calls of one operator in a round, and the longest that a round may take.
CALLS = 400
SECONDS = 900


def run_calls(op: str, seed: int, count: int, note: Path) -> None:
    """Checks `count` calls of an operator. The note holds the last one, of a failure the least."""

    @hypothesis.seed(seed)
    @settings(
        database=None,
        deadline=None,
        max_examples=count,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(call=calls(op))
    def run(call: Call) -> None:
        note.write_text(call.to_json())
        check(call)

    run()


def command_of(call: str) -> str:
    """What repeats a call, given as JSON."""
    return shlex.join([sys.executable, "-m", "tests.fuzz", "--call", call])


def round_fails(command: Sequence[str], note: Path) -> bool:
    """Runs a round in a process of its own; of a failure it prints what repeats it."""
    note.unlink(missing_ok=True)
    try:
        code = subprocess.run(command, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        code = None
    if code == 0:
        return False
    how = f"did not end within {SECONDS} s" if code is None else f"ended with exit code {code}"
    print(f"\nThe round {how}. The round again:\n  {shlex.join(command)}")
    if note.exists():
        print(f"The call that failed:\n  {command_of(note.read_text())}", flush=True)
    return True


def fuzz(ops: Sequence[str], seed: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    rounds = 0
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "call.json"
        while time.monotonic() < end:
            op, round_seed = ops[rounds % len(ops)], seed + rounds // len(ops)
            arguments = ["--ops", op, "--seed", str(round_seed), "--round", str(note)]
            if round_fails([sys.executable, "-m", "tests.fuzz", *arguments], note):
                return 1
            rounds += 1
            print(f"{op}: {CALLS} calls of seed {round_seed}", flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all rounds")
    parser.add_argument("--ops", nargs="+", choices=OPS, default=list(OPS))
    parser.add_argument("--call", help="check this call, in JSON, and nothing else")
    parser.add_argument("--round", type=Path, help="one round in this process, noting calls here")
    options = parser.parse_args(arguments)
    if options.call is not None:
        check(Call.from_json(options.call))
        return 0
    if options.round is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        for op in options.ops:
            run_calls(op, options.seed, CALLS, options.round)
        return 0
    print(f"seed {options.seed}", flush=True)
    return fuzz(options.ops, options.seed, 60 * options.minutes)


if __name__ == "__main__":
    sys.exit(main())

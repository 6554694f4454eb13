"""``cnnext bench``: single operators, native PyTorch against cnnext, on named shapes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

import torch
from tqdm import tqdm

from cnnext.cli import report, results
from cnnext.cli.arguments import UserError, output_file, positive_int, thread_count
from cnnext.cli.results import Row
from cnnext.testing import comparisons, machine
from cnnext.testing.cases import Case
from cnnext.testing.load import OtherLoad
from cnnext.testing.specs import MEASURED
from cnnext.testing.timing import compare_blocks


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="check and time single operators against native PyTorch",
        description=(
            "For each named shape, check cnnext's result, then time it and native PyTorch in"
            " alternating blocks. Exit code 1 if a result is wrong."
        ),
    )
    parser.add_argument("--op", choices=MEASURED, help="one operator (default: all)")
    parser.add_argument(
        "--case",
        default="*",
        metavar="PATTERN",
        help="shapes whose name matches a shell pattern, such as 'resnet50_3x3*' (default: all)",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        metavar="N",
        help="images in a batch, or rows of a matrix (default: the shape's own)",
    )
    parser.add_argument(
        "--threads", type=thread_count, metavar="N", help="threads (default: PyTorch's choice)"
    )
    parser.add_argument(
        "--mode",
        choices=comparisons.MODES,
        default="forward",
        help="what is timed; training is forward and backward (default: forward)",
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="store the measurements and the machine"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure the chosen shapes and print their tables; 1 if a result is wrong."""
    chosen = list(comparisons.select(arguments.op, arguments.case))
    if not chosen:
        where = "" if arguments.op is None else f" of {arguments.op}"
        raise UserError(f"no case{where} matches {arguments.case!r}")
    if arguments.batch is not None:
        chosen = [(op, case.with_batch(arguments.batch)) for op, case in chosen]
    threads = arguments.threads or torch.get_num_threads()
    load = OtherLoad()
    rows: list[Row] = []
    failures = 0
    with tqdm(chosen, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}") as bar:
        for op, case in bar:
            bar.set_postfix_str(f"{op} {case}")
            try:
                rows.append(measure(op, case, arguments.mode, threads))
            except AssertionError as error:
                bar.write(f"Wrong result: {error}", file=sys.stderr)
                failures += 1
    described = results.describe(threads, load)
    print(machine.summary(described))
    for table in report.bench_reports(rows):
        print(f"\n{table.text()}")
    if arguments.json is not None:
        results.write(arguments.json, "bench", rows, described)
    if warning := load.warning():
        print(f"\nWarning: {warning}.", file=sys.stderr)
    if failures:
        print(f"\n{failures} of {len(chosen)} results are wrong", file=sys.stderr)
    return 1 if failures else 0


def measure(op: str, case: Case, mode: str, threads: int) -> Row:
    """Check one case, then time its implementations.

    Raises:
        AssertionError: cnnext's result is wrong.
    """
    comparison = comparisons.comparison(op, case, mode)
    comparison.check()
    timings = compare_blocks(comparison.calls, threads=threads)
    return {
        "op": op,
        "case": case.name,
        "mode": mode,
        "sizes": case.sizes(),
        "times": {name: asdict(timing) for name, timing in timings.items()},
    }

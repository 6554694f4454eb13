"""``cnnext bench``: single operators, native PyTorch against cnnext, on named shapes.

With ``--peers`` it is another command, ``peers.py``: whole networks against other runtimes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

import torch
from tqdm import tqdm

from cnnext.cli import peers, report, results, subjects
from cnnext.cli.arguments import UserError, output_file, positive_ints, thread_count
from cnnext.cli.implementations import PEERS
from cnnext.cli.results import Row
from cnnext.testing import comparisons, kernels, machine
from cnnext.testing.cases import Case
from cnnext.testing.load import OtherLoad
from cnnext.testing.specs import MEASURED
from cnnext.testing.timing import compare_blocks

_ALL_CASES = "*"
_FORWARD = "forward"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="check and time single operators against native PyTorch, or networks against peers",
        description=(
            "For each named shape, check cnnext's result, then time it and native PyTorch in"
            " alternating blocks. With --peers, do so for the inference of whole networks, by"
            " cnnext and by other runtimes, each in a process of its own. Exit code 1 if a result"
            " is wrong."
        ),
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL[:BATCH,...]",
        help=f"with --peers: any of {', '.join(subjects.names())}; or MODULE:FUNCTION, a function"
        " of yours that returns a model and a tensor to call it with; batches of its own, as in"
        f" resnet50:1,16, come before --batch (default: {' '.join(peers.DEFAULT)})",
    )
    parser.add_argument(
        "--peers",
        type=peers.peer_list,
        metavar="all|NAME,...",
        help="measure networks, by cnnext and by all or some of"
        f" {', '.join(peer.name for peer in PEERS)}",
    )
    parser.add_argument("--op", choices=MEASURED, help="one operator (default: all)")
    parser.add_argument(
        "--case",
        default=_ALL_CASES,
        metavar="PATTERN",
        help="shapes whose name matches a shell pattern, such as 'resnet50_3x3*' (default: all)",
    )
    parser.add_argument(
        "--batch",
        type=positive_ints,
        metavar="N,...",
        help="images in a batch, or rows of a matrix, one or several sizes (default: the shape's"
        " own; 1 with --peers)",
    )
    parser.add_argument(
        "--threads", type=thread_count, metavar="N", help="threads (default: PyTorch's choice)"
    )
    parser.add_argument(
        "--mode",
        choices=comparisons.MODES,
        default=_FORWARD,
        help="what is timed; training is forward and backward (default: forward)",
    )
    parser.add_argument(
        "--isa",
        choices=kernels.ISAS,
        help="with --peers: the instruction set that all are limited to; those that cannot be are"
        " left out (default: CNNEXT_ISA, or the best of this machine)",
    )
    parser.add_argument(
        "--plot",
        type=output_file,
        metavar="FILE",
        help="with --peers: draw the speeds beside the best peer's (png, svg or pdf)",
    )
    parser.add_argument(
        "--json",
        type=output_file,
        metavar="FILE",
        help="store the measurements and the machine; with --peers each network's as soon as it is"
        " measured, beside the other networks', batches' and machines' that FILE has",
    )
    parser.set_defaults(run=run, error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Measure the chosen shapes or networks and print their tables; 1 if a result is wrong."""
    _check_options(arguments)
    return _run_operators(arguments) if arguments.peers is None else peers.run(arguments)


def _check_options(arguments: argparse.Namespace) -> None:
    """End the program if an option does not belong to what is to be measured."""
    of_networks = {
        "MODEL": arguments.models,
        "--isa": arguments.isa,
        "--plot": arguments.plot,
    }
    of_operators = {
        "--op": arguments.op,
        "--case": arguments.case != _ALL_CASES,
        "--mode": arguments.mode != _FORWARD,
    }
    others, when = (of_networks, "with") if arguments.peers is None else (of_operators, "without")
    for option, given in others.items():
        if given:
            arguments.error(f"argument {option}: only valid {when} --peers")


def _run_operators(arguments: argparse.Namespace) -> int:
    chosen = list(comparisons.select(arguments.op, arguments.case))
    if not chosen:
        where = "" if arguments.op is None else f" of {arguments.op}"
        raise UserError(f"no case{where} matches {arguments.case!r}")
    if arguments.batch is not None:
        chosen = [(op, case.with_batch(n)) for op, case in chosen for n in arguments.batch]
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

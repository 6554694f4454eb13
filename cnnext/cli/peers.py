"""``cnnext bench --peers``: whole networks, cnnext against other runtimes, inference alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torch
from tqdm import tqdm

from cnnext.cli import implementations, plot, report, results, subjects
from cnnext.cli.arguments import UserError, positive_ints
from cnnext.cli.implementations import Implementation
from cnnext.cli.peer_comparison import BLOCKS, compare_peers
from cnnext.cli.results import Row
from cnnext.testing import kernels, machine
from cnnext.testing.load import OtherLoad

#: What is measured by default, each with its batches: classifiers as on a server, too.
DEFAULT = (
    "lenet5:1,16,512",
    "alexnet:1,16",
    "vgg16:1,16",
    "resnet18:1,16",
    "resnet50:1,16",
    "googlenet:1,16",
    "densenet121",
    "mobilenet_v2",
    "efficientnet_b0",
    "unet",
    "crnn",
)

_DEFAULT_BATCHES = (1,)  # the latency that users see
_ALL = "all"
_COMMAND = "peers"  # of stored rows


def peer_list(text: str) -> list[Implementation]:
    """The argument of ``--peers``: all, or names with commas between them."""
    known = {peer.name: peer for peer in implementations.PEERS}
    names = list(known) if text == _ALL else text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"unknown peer {name!r}: choose from {_ALL}, {', '.join(known)}"
            )
    return [known[name] for name in dict.fromkeys(names)]


def run(arguments: argparse.Namespace) -> int:
    """Measure the networks, print the tables, write the files; 1 if an implementation failed."""
    networks = _networks(arguments.models, arguments.batch)
    if arguments.plot is not None:
        plot.check(arguments.plot)
    if arguments.json is not None:
        results.added(arguments.json, _COMMAND)  # no measurement is lost for want of a place
    isa = arguments.isa or kernels.active_isa()
    limit = _limit(isa)
    taking_part = list(_able([*arguments.peers, *implementations.OURS], limit))
    threads = arguments.threads or torch.get_num_threads()
    load = OtherLoad()
    rows: list[Row] = []
    for row in _measured(networks, taking_part, threads, isa, limit):
        rows.append(row)
        if arguments.json is not None:
            results.add(arguments.json, _COMMAND, row)
    print(machine.summary(rows[0]["machine"]))
    for table in report.peer_reports(rows):
        print(f"\n{table.text()}")
    if arguments.plot is not None:
        plot.peers(arguments.plot, [(rows[0]["machine"], rows)])
    if warning := load.warning():
        print(f"\nWarning: {warning}.", file=sys.stderr)
    return 1 if any(_failures(row) for row in rows) else 0


def _measured(
    networks: Sequence[tuple[str, int]],
    taking_part: Sequence[Implementation],
    threads: int,
    isa: str,
    limit: str | None,
) -> Iterator[Row]:
    """The networks' rows, each with its machine; shows the progress and the failures."""
    described: dict[str, Any] = {"isa": isa, "peers": _versions(taking_part)}
    environment = {"CNNEXT_ISA": isa}
    if limit is not None:
        environment |= implementations.ISA_LIMITS[limit]
        described["torch_isa"] = environment["ATEN_CPU_CAPABILITY"].upper()
    total = len(networks) * len(taking_part) * (BLOCKS + 1)
    with tqdm(total=total, bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        for model, batch in networks:

            def progress(done: str, model: str = model) -> None:
                bar.set_postfix_str(f"{model}: {done}", refresh=False)
                bar.update()

            load = OtherLoad()
            row = compare_peers(
                model,
                batch,
                taking_part,
                threads=threads,
                environment=environment,
                progress=progress,
            )
            for failure in _failures(row):
                bar.write(failure, file=sys.stderr)
            yield row | {"machine": results.describe(threads, load) | described}


def _networks(texts: Sequence[str], batches: tuple[int, ...] | None) -> list[tuple[str, int]]:
    """The models that ``MODEL`` or ``MODEL:BATCH,...`` name, each with each of its batches."""
    if not texts:
        texts = DEFAULT if batches is None else [text.partition(":")[0] for text in DEFAULT]
    networks = []
    for text in texts:
        model, own = _split(text)
        subjects.check_name(model)
        try:
            sizes = positive_ints(own) if own else batches or _DEFAULT_BATCHES
        except argparse.ArgumentTypeError as error:
            raise UserError(f"the batch of {text!r} {error}") from None
        networks += [(model, size) for size in sizes]
    return list(dict.fromkeys(networks))


def _split(text: str) -> tuple[str, str]:
    """The model and its batches; ``MODULE:FUNCTION`` has a colon of its own."""
    name, *rest = text.split(":", 2)
    if rest and rest[0].isidentifier() and name not in subjects.names():
        name, *rest = f"{name}:{rest[0]}", *rest[1:]
    return name, "".join(rest)


def _limit(isa: str) -> str | None:
    """The ISA, if it is less than what this machine has.

    Raises:
        UserError: it is more.
    """
    detected = kernels.detected_isa()
    if kernels.ISAS.index(isa) > kernels.ISAS.index(detected):
        raise UserError(f"--isa {isa} is not possible: this machine, or build, has {detected}")
    return None if isa == detected else isa


def _able(chosen: Iterable[Implementation], limit: str | None) -> Iterator[Implementation]:
    """Those that can take part; says why the others are left out."""
    for implementation in chosen:
        reason = implementation.why_left_out(limit)
        if reason is None:
            yield implementation
        else:
            print(f"{implementation.name} is left out: {reason}", file=sys.stderr)


def _failures(row: Row) -> list[str]:
    return [
        f"{row['model']} (batch {row['batch']}), {name}: {entry['failure']}"
        for name, entry in row["implementations"].items()
        if entry["failure"] is not None
    ]


def _versions(taking_part: Sequence[Implementation]) -> dict[str, str]:
    """The versions of the packages that the implementations use."""
    return {
        package: version(package)
        for each in taking_part
        for package in (*each.packages, *each.export_packages)
    }

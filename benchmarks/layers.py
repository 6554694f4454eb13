"""Convolutions as layers: ours against native PyTorch, and against what the machine can do.

    make layers ARGS="measure FILE"   # the networks' convolutions, forward, batch 1
    make layers ARGS="show FILE"      # the summary of what was measured

A row of FILE is a convolution in one direction, whose results were checked first. Its times come
from one run of alternating blocks: native PyTorch and ours in both layouts, as functions and,
forward, as modules without gradients, which may keep their filters packed; and the loop of
multiply-adds that gives the peak of the arithmetic (``ceilings.py``) on as many threads.
"""

from __future__ import annotations

import argparse
import fnmatch
import statistics
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from candidates import SHORT_BLOCKS, calls_of, network_cases, operands_of, predict
from ceilings import multiply_adds
from tqdm import tqdm

import cnnext
from cnnext.cli import results
from cnnext.cli.arguments import output_file, positive_int, thread_count
from cnnext.cli.table import format_table
from cnnext.explain import DIRECTIONS
from cnnext.testing import kernels, machine
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.comparisons import LAYOUTS, Call, Comparison
from cnnext.testing.load import OtherLoad
from cnnext.testing.timing import compare_blocks, torch_threads

#: Beside the networks' layers: a large product, and one so small that its call is most of its time.
PRODUCT = Conv2dCase("product_3136x1024x1024", 1, 1024, 56, 56, 1024, 1, 1)
SMALL = Conv2dCase("small_3x3_16@8", 1, 16, 8, 8, 16, 3, 3, padding=(1, 1))

_PEAK = "multiply-adds"


def module_calls(case: Conv2dCase, layout: str) -> dict[str, Call]:
    """The calls of modules, on the operands of `calls_of`."""
    x, w, _, bias = operands_of(case, layout).values()

    def call_of(library: Any) -> Call:
        layer = library.Conv2d(case.c_in, case.c_out, w.shape[2:], **case.kwargs())
        layer.weight, layer.bias = torch.nn.Parameter(w), torch.nn.Parameter(bias)
        return lambda: (layer(x),)

    return {"torch module": call_of(torch.nn), "cnnext module": call_of(cnnext)}


def comparison(case: Conv2dCase, direction: str) -> Comparison:
    """One convolution in one direction, by all implementations."""
    calls: dict[str, Call] = {}
    for layout in LAYOUTS:
        of_layout = calls_of(case, direction, layout)
        if direction == "forward":
            of_layout |= module_calls(case, layout)
        calls |= {f"{name} {layout}": call for name, call in of_layout.items()}
    reference = calls_of(case, direction, "NCHW", torch.float64)["torch"]
    return Comparison("conv2d", case, direction, calls, reference)


def setting(name: str) -> AbstractContextManager[None]:
    """Modules are called without gradients."""
    return torch.no_grad() if " module " in name else nullcontext()


def measure(case: Conv2dCase, direction: str, threads: int, **blocks: Any) -> results.Row:
    """Check a convolution, then time all its implementations.

    Raises:
        AssertionError: a result of ours is wrong.
    """
    compared, peak = comparison(case, direction), multiply_adds(kernels.active_isa(), threads)
    with torch_threads(threads):
        with torch.no_grad():
            compared.check()
        chosen = {
            name: predict(case.sizes(), direction, name.split()[-1], " module " in name).chosen
            for name in compared.calls
            if name.startswith("cnnext")
        }
        calls = {**compared.calls, _PEAK: peak.call}
        timings = compare_blocks(calls, setting=setting, **blocks)
    return {
        "op": "conv2d",
        "case": case.name,
        "mode": direction,
        "sizes": case.sizes(),
        "flops": case.flops,
        "peak": peak.call() / timings[_PEAK].median,
        "kernels": chosen,
        "times": {name: asdict(timings[name]) for name in compared.calls},
    }


# ----------------------------------------------------------------------------------- summing up


def groups_of(row: results.Row) -> Iterator[str]:
    """The lines of the summary that a row belongs to."""
    name, sizes = row["case"], row["sizes"]
    if name.startswith((PRODUCT.name, SMALL.name)):
        yield name
        return
    stride = max(sizes["stride"])
    yield "all layers"
    yield f"{sizes['k_h']}x{sizes['k_w']}{f' stride {stride}' if stride > 1 else ''}"
    if name.startswith("resnet50_1x1"):
        yield "ResNet-50's 1x1"
        if sizes["h_in"] == 7 * stride:
            yield "ResNet-50's 1x1 to 7x7"


def against_native(row: results.Row, name: str) -> float:
    """How many times as fast as native in its better layout an implementation of ours is."""
    form = name.rpartition(" ")[0].replace("cnnext", "torch")
    native = min(row["times"][f"{form} {layout}"]["median"] for layout in LAYOUTS)
    return native / row["times"][name]["median"]


def share_of_peak(row: results.Row, name: str) -> float:
    """The direct method's operations in a second; Winograd's, which has fewer, may exceed 1."""
    return row["flops"] / row["times"][name]["median"] / row["peak"]


def summary(rows: Iterable[results.Row]) -> str:
    """A line for each direction, batch, group of rows and implementation of ours."""
    groups: dict[tuple[str, int, str, str], list[results.Row]] = {}
    for row in rows:
        for group in groups_of(row):
            for name in row["kernels"]:
                key = (row["mode"], row["sizes"]["n"], group, name)
                groups.setdefault(key, []).append(row)
    lines = []
    for (mode, batch, group, name), members in sorted(groups.items()):
        speedups = {row["case"]: against_native(row, name) for row in members}
        shares = [share_of_peak(row, name) for row in members]
        worst = min(speedups, key=speedups.__getitem__)
        lines.append(
            (
                *(f"{mode}, batch {batch}, {group}", name, str(len(members))),
                f"{statistics.geometric_mean(speedups.values()):.2f}",
                *(f"{speedups[worst]:.2f}", worst),
                *(f"{statistics.geometric_mean(shares):.3f}", f"{min(shares):.3f}"),
            )
        )
    headers = ("group", "ours", "n", "over torch", "worst", "case", "share of peak", "worst")
    return format_table(headers, lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("measure", "show"))
    parser.add_argument("file", type=output_file)
    parser.add_argument("--case", default="*", metavar="PATTERN", help="convolutions by name")
    parser.add_argument("--batch", type=positive_int, nargs="+", default=(1,), metavar="N")
    parser.add_argument("--direction", choices=DIRECTIONS, nargs="+", default=DIRECTIONS[:1])
    parser.add_argument("--threads", type=thread_count, metavar="N", help="(default: PyTorch's)")
    parser.add_argument("--short", action="store_true", help="short blocks, for a first look")
    arguments = parser.parse_args()
    if arguments.command == "measure":
        threads, load = arguments.threads or torch.get_num_threads(), OtherLoad()
        chosen = [
            (case.with_batch(batch), direction)
            for direction in arguments.direction
            for batch in arguments.batch
            for case in (PRODUCT, SMALL, *network_cases())
            if fnmatch.fnmatchcase(case.name, arguments.case)
        ]
        if not chosen:
            parser.error(f"no convolution matches {arguments.case!r}")
        blocks = SHORT_BLOCKS if arguments.short else {"discard_calls": 3}
        rows = [measure(case, mode, threads, **blocks) for case, mode in tqdm(chosen)]
        results.write(arguments.file, "layers", rows, results.describe(threads, load))
        if warning := load.warning():
            print(f"Warning: {warning}.", file=sys.stderr)
    document = results.read(arguments.file)
    print(f"{machine.summary(document['machine'])}\n\n{summary(document['rows'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

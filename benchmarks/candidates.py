"""Time every kernel that could compute a convolution, and judge or fit the choice among them.

    python benchmarks/candidates.py measure FILE   # all named convolutions, batch 1 and 16
    python benchmarks/candidates.py judge FILE     # the kernels chosen, against the fastest
    python benchmarks/candidates.py fit FILE       # rates of the predictions, for this machine

A row of FILE is a convolution in one direction; its times, of native PyTorch and of every candidate
in both layouts, come from one run of alternating blocks. ``judge`` asks which kernel would be
chosen for the machine of those times, and so tells about the predictions of today; ``fit`` changes
the rates behind them (``csrc/common/kernel/rates.inc``) one after the other as long as choices
improve. Both need the NumPy bindings, where the machine can be set: PYTHONPATH=build/cmake.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import statistics
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import cnnext.functional
from cnnext.cli import results
from cnnext.explain import DIRECTIONS, predicted_candidates
from cnnext.runtime.library import ops
from cnnext.testing import kernels, machine
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.comparisons import LAYOUTS, Call
from cnnext.testing.conv2d_cases import ALEXNET, GOOGLENET, LENET5, RESNET50, VGG16
from cnnext.testing.load import OtherLoad
from cnnext.testing.spec import Tensors
from cnnext.testing.timing import compare_blocks

#: For comparisons of many convolutions, or of many implementations.
SHORT_BLOCKS: dict[str, Any] = {
    "min_block_s": 0.04,
    "discard_s": 0.01,
    "discard_calls": 3,
    "blocks": 3,
}

# Kernels predicted to be so much slower than the fastest are not worth their time.
_MAX_TIMES_SLOWER = 5.0


def network_cases() -> list[Conv2dCase]:
    """The distinct convolutions of the networks, each once."""
    distinct: dict[Conv2dCase, Conv2dCase] = {}
    for case in (*LENET5, *ALEXNET, *VGG16, *GOOGLENET, *RESNET50):
        distinct.setdefault(replace(case, name="", count=1), case)
    return list(distinct.values())


# ------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Prediction:
    """What the library says of one convolution: predicted seconds by kernel, and its choice."""

    chosen: str
    seconds: dict[str, float]


def predict(
    sizes: dict[str, Any], direction: str, layout: str, weights_packed: bool = False
) -> Prediction:
    """The library's prediction for the sizes of a `Conv2dCase`, on the current threads.

    Args:
        sizes: those of a `Conv2dCase`.
        direction: one of `DIRECTIONS`.
        layout: one of `LAYOUTS`.
        weights_packed: for a module without gradients, which may have packed its weights before.
    """
    names = ("n", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w")
    steps = (*sizes["stride"], *sizes["padding"], *sizes["dilation"], sizes["groups"])
    shape = (*(sizes[name] for name in names), *steps)
    found = predicted_candidates(direction, False, layout == "channels_last", shape, weights_packed)
    seconds = {candidate.name: candidate.seconds for candidate in found.candidates}
    return Prediction(found.chosen, seconds)


def operands_of(
    case: Conv2dCase, layout: str, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """Random operands of a convolution and of its gradients, the same for all arguments."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": case.input_shape, "w": case.weight_shape, "dy": case.output_shape}
    operands = {
        name: torch.randn(shape, generator=generator).to(dtype, memory_format=LAYOUTS[layout])
        for name, shape in shapes.items()
    }
    return {**operands, "bias": torch.randn(case.c_out, generator=generator).to(dtype)}


def calls_of(
    case: Conv2dCase, direction: str, layout: str, dtype: torch.dtype = torch.float32
) -> dict[str, Call]:
    """Native PyTorch's call and ours, on the same operands."""
    x, w, dy, bias = operands_of(case, layout, dtype).values()
    if direction == "forward":
        return {
            "torch": lambda: (torch.nn.functional.conv2d(x, w, bias, **case.kwargs()),),
            "cnnext": lambda: (cnnext.functional.conv2d(x, w, bias, **case.kwargs()),),
        }
    steps = (*case.stride, *case.padding, *case.dilation, case.groups)
    native_steps = (case.stride, case.padding, case.dilation, False, (0, 0), case.groups)
    place = DIRECTIONS[1:].index(direction)
    wanted = (place == 0, place == 1, False)

    def native() -> Tensors:
        return (torch.ops.aten.convolution_backward(dy, x, w, None, *native_steps, wanted)[place],)

    if direction == "bwd_input":
        return {
            "torch": native,
            "cnnext": lambda: (ops.conv2d_backward_input(dy, w, case.h_in, case.w_in, *steps),),
        }
    return {"torch": native, "cnnext": lambda: (ops.conv2d_backward_weight(dy, x, w, *steps),)}


def measure(case: Conv2dCase, direction: str, threads: int) -> results.Row:
    """One row: the medians of native PyTorch and of all candidates, in both layouts."""
    calls: dict[str, Call] = {}
    forced: dict[str, str] = {}
    for layout in LAYOUTS:
        of_layout = calls_of(case, direction, layout)
        calls[f"torch {layout}"] = of_layout["torch"]
        prediction = predict(case.sizes(), direction, layout).seconds
        fastest = min(prediction.values())
        for kernel, seconds in prediction.items():
            of_best_isa = kernel.endswith(kernels.active_isa())
            if of_best_isa and seconds <= _MAX_TIMES_SLOWER * fastest:
                calls[f"{kernel} {layout}"] = of_layout["cnnext"]
                forced[f"{kernel} {layout}"] = kernel

    def setting(name: str) -> AbstractContextManager[None]:
        return kernels.use_kernel("conv2d", forced[name]) if name in forced else nullcontext()

    timings = compare_blocks(calls, threads=threads, setting=setting, **SHORT_BLOCKS)
    return {
        "op": "conv2d",
        "case": case.name,
        "mode": direction,
        "sizes": case.sizes(),
        "times": {name: timing.median for name, timing in timings.items()},
    }


# --------------------------------------------------------------------------------------- judging


@contextmanager
def model_of(machine: dict[str, Any]) -> Iterator[None]:
    """Within, choices are those for a stored machine's L2, ISA and threads, by today's rates.

    What has no sizes of caches was measured when all kernels counted on 1 MB.
    """
    bindings = tool_build()
    bindings.set_machine(machine.get("cache_bytes", {}).get("L2", 1 << 20))
    bindings.set_isa_cap(machine["isa"])
    before = torch.get_num_threads()
    torch.set_num_threads(machine["threads"])
    try:
        yield
    finally:
        bindings.set_machine()
        bindings.set_isa_cap("")
        torch.set_num_threads(before)


def tool_build() -> Any:
    """The NumPy bindings, where the machine can be set."""
    return importlib.import_module("_kernels")


def choose(sizes: dict[str, Any], direction: str, layout: str) -> str:
    """The kernel that is chosen on the machine that `model_of` has set; arguments as `predict`."""
    names = ("n", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w", "groups")
    steps = {"stride": "stride", "pad": "padding", "dilation": "dilation"}
    pairs = {
        f"{name}_{axis}": sizes[of][i] for name, of in steps.items() for i, axis in enumerate("hw")
    }
    shape = {name: sizes[name] for name in names} | pairs
    threads = torch.get_num_threads()
    return tool_build().conv2d.select(
        direction, "float32", threads=threads, layout=layout.lower(), **shape
    )


@dataclass(frozen=True)
class Choice:
    """What was chosen for a row in a layout: its time, the best candidate's and native's."""

    row: results.Row
    layout: str
    chosen: str
    seconds: float
    best: str
    best_seconds: float
    native_seconds: float  # of the better layout

    @property
    def quality(self) -> float:
        """1 for the best candidate, less for a slower one."""
        return self.best_seconds / self.seconds

    @property
    def speedup(self) -> float:
        return self.native_seconds / self.seconds


def choices(rows: Iterable[results.Row]) -> Iterator[Choice]:
    """The kernel that would be chosen today for each row and layout.

    A kernel that was not timed counts as slow as it was predicted to be when it was left out.
    """
    for row in rows:
        native = min(row["times"][f"torch {layout}"] for layout in LAYOUTS)
        for layout in LAYOUTS:
            times = {
                name.split()[0]: seconds
                for name, seconds in row["times"].items()
                if name.endswith(f" {layout}") and not name.startswith("torch")
            }
            best = min(times, key=times.__getitem__)
            chosen = choose(row["sizes"], row["mode"], layout)
            seconds = times.get(chosen, _MAX_TIMES_SLOWER * times[best])
            yield Choice(row, layout, chosen, seconds, best, times[best], native)


def quality(found: Iterable[Choice]) -> float:
    """The geometric mean of the choices' qualities."""
    return statistics.geometric_mean(choice.quality for choice in found)


def kind_of(sizes: dict[str, Any]) -> str:
    """The class of a convolution, by which results are summed up."""
    if max(sizes["stride"]) > 1:
        return "strided"
    if sizes["k_h"] == 3 and sizes["c_in"] >= 64:
        return "3x3, 64 channels and more"
    return f"{sizes['k_h']}x{sizes['k_w']}"


def print_judgement(rows: list[results.Row]) -> None:
    found = list(choices(rows))
    for choice in found:
        if choice.quality < 0.9:
            print(
                f"{choice.row['case']} {choice.row['mode']} {choice.layout}: {choice.chosen},"
                f" {1 / choice.quality:.2f} times as long as {choice.best}"
            )
    groups: dict[tuple[str, ...], list[Choice]] = {}
    for choice in found:
        mode, kind = choice.row["mode"], kind_of(choice.row["sizes"])
        groups.setdefault((mode, choice.layout, "all"), []).append(choice)
        groups.setdefault((mode, choice.layout, kind), []).append(choice)
    print(f"{'':50} {'n':>4}  choice (worst)  against the better of native's layouts (worst)")
    for key, group in sorted(groups.items()):
        speedups = [choice.speedup for choice in group]
        print(
            f"{' '.join(key):50} {len(group):4}"
            f"  {quality(group):.3f} ({min(c.quality for c in group):.2f})"
            f"   {statistics.geometric_mean(speedups):.2f} ({min(speedups):.2f})"
        )


# --------------------------------------------------------------------------------------- fitting


def fit(rows: list[results.Row], isa: str) -> dict[str, float]:
    """Change one rate after the other, at most by a factor of 2, as long as choices improve.

    Of rates that choose alike, those stay that are in force; that of the tiles is the unit of all.
    """
    bindings = tool_build()
    best, least_gain = quality(choices(rows)), 1e-5
    improved = True
    while improved:
        improved = False
        for name, value in bindings.rates(isa).items():
            if name == "tile_macs":
                continue
            chosen = value
            for factor in (0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 2.0):
                bindings.set_rate(isa, name, value * factor)
                if (reached := quality(choices(rows))) > best + least_gain:
                    best, chosen, improved = reached, value * factor, True
            bindings.set_rate(isa, name, chosen)
            print(f"{name} {chosen:.3g}: choices {best:.4f}", file=sys.stderr)
    return bindings.rates(isa)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("measure", "judge", "fit"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--case", default="*", metavar="PATTERN", help="convolutions by name")
    parser.add_argument("--batch", type=int, nargs="+", default=(1, 16), metavar="N")
    parser.add_argument("--direction", choices=DIRECTIONS, nargs="+", default=DIRECTIONS[:1])
    arguments = parser.parse_args()
    if arguments.command == "measure":
        threads, load = torch.get_num_threads(), OtherLoad()
        chosen = [
            (case.with_batch(batch), direction)
            for direction in arguments.direction
            for batch in arguments.batch
            for case in network_cases()
            if fnmatch.fnmatchcase(case.name, arguments.case)
        ]
        rows = [measure(case, direction, threads) for case, direction in tqdm(chosen)]
        results.write(arguments.file, "candidates", rows, results.describe(threads, load))
    document = results.read(arguments.file)
    print(machine.summary(document["machine"]))
    with model_of(document["machine"]):
        if arguments.command == "fit":
            for name, value in fit(document["rows"], document["machine"]["isa"]).items():
                print(f"{name} {value:.3g}")
        print_judgement(document["rows"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``cnnext compare``: whole models, native PyTorch against cnnext, on real input."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from tqdm import tqdm

from cnnext.cli import device, plot, report, results, subjects
from cnnext.cli.arguments import output_file, positive_int, thread_count
from cnnext.cli.comparison import compare_model, steps
from cnnext.runtime.flags import CUDA_BACKENDS
from cnnext.testing import machine
from cnnext.testing.load import OtherLoad


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="check and time whole models against native PyTorch",
        description=(
            "Build each model twice with the same weights, natively and with cnnext's layers, and"
            " on the CPU optimize it for inference; compare all with float64 on real images; then"
            " time them in alternating blocks."
            " Exit code 1 if a model disagrees."
        ),
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"any of {', '.join(subjects.names())}; or MODULE:FUNCTION, a function of yours that"
        " returns a model and a tensor to call it with, whose layers are converted"
        f" (default: {' '.join(subjects.DEFAULT)})",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        metavar="N",
        help="images in a batch (default: 64 for lenet5, 1 for the others)",
    )
    parser.add_argument(
        "--device",
        choices=device.TYPES,
        default="cpu",
        help="where the models run; the float64 reference stays on the CPU (default: cpu)",
    )
    parser.add_argument(
        "--cuda-backend",
        choices=CUDA_BACKENDS,
        help="who computes cnnext's operators with --device cuda: cnnext's own kernels, native"
        " PyTorch, or the one that `cnnext env` names for each operator (default: auto)",
    )
    parser.add_argument(
        "--threads", type=thread_count, metavar="N", help="threads (default: PyTorch's choice)"
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="check the gradients and time the training step (forward, loss, backward, SGD) too",
    )
    parser.add_argument(
        "--plot", type=output_file, metavar="FILE", help="draw the speed-ups (png, svg or pdf)"
    )
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="store the measurements and the machine"
    )
    parser.set_defaults(run=run, error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Compare the models, print the tables, write the files; 1 if a model disagrees."""
    if arguments.cuda_backend is not None and arguments.device != "cuda":
        arguments.error("argument --cuda-backend: only valid with --device cuda")
    models = list(dict.fromkeys(arguments.models or subjects.DEFAULT))
    for model in models:
        subjects.check_name(model)
    if arguments.plot is not None:
        plot.check(arguments.plot)
    place = device.find(arguments.device, arguments.cuda_backend or "auto")
    threads = arguments.threads or torch.get_num_threads()
    load = OtherLoad()
    rows = []
    steps_each = steps(arguments.train, place)
    total = len(models) * steps_each
    with tqdm(total=total, bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        for number, model in enumerate(models, start=1):

            def progress(done: str, model: str = model) -> None:
                bar.set_postfix_str(f"{model}: {done}", refresh=False)
                bar.update()

            rows.append(
                compare_model(
                    model,
                    arguments.batch or subjects.default_batch(model),
                    threads=threads,
                    train=arguments.train,
                    progress=progress,
                    device=place,
                )
            )
            # A model that disagrees is not timed and takes fewer steps.
            bar.update(number * steps_each - bar.n)
    described = results.describe(threads, load, place)
    print(machine.summary(described), end="\n\n")
    print("\n\n".join(table.text() for table in report.compare_reports(rows)))
    if arguments.json is not None:
        results.write(arguments.json, "compare", rows, described)
    if arguments.plot is not None:
        plot.speed_ups(arguments.plot, rows)
    if warning := load.warning():
        print(f"\nWarning: {warning}.", file=sys.stderr)
    disagreeing = [row["model"] for row in rows if not row["agrees"]]
    if disagreeing:
        print(f"\nNot equal to native PyTorch: {', '.join(disagreeing)}")
    return 1 if disagreeing else 0

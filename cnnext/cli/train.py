"""``cnnext train``: a small model on real images, from the first epoch to a confusion matrix."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cnnext.cli import subjects
from cnnext.cli.arguments import demo_module, positive_float, positive_int, seed
from cnnext.cli.training_run import TrainingRun
from cnnext.training import digits
from cnnext.training.loop import LAYERS, LEARNING_RATES, Settings, check_fit
from cnnext.training.run_folder import RunFolder

#: By name: the images to learn from and to test with.
DATA = {"digits": digits.split_digits}
_DEFAULT_EPOCHS = 20
_INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a small model and test it",
        description=(
            "Train a model on scikit-learn's handwritten digits, test it on a quarter of them,"
            " which it never learns from, and store checkpoint, log, curves and confusion matrix."
            " The same settings give the same weights, also after --resume. Exit code 130 if"
            " interrupted."
        ),
    )
    parser.add_argument(
        "model", metavar="MODEL", help="a builder of cnnext.models that takes the images: lenet5"
    )
    parser.add_argument("--data", choices=DATA, default="digits", help="default: digits")
    parser.add_argument(
        "--epochs",
        type=positive_int,
        default=_DEFAULT_EPOCHS,
        metavar="N",
        help=f"in total, those before --resume included (default: {_DEFAULT_EPOCHS})",
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="images (default: 32)"
    )
    rates = ", ".join(f"{rate} for {name}" for name, rate in LEARNING_RATES.items())
    parser.add_argument(
        "--lr",
        type=positive_float,
        metavar="X",
        help=f"learning rate of the first epoch; falls by a tenth each epoch (default: {rates})",
    )
    parser.add_argument("--optimizer", choices=LEARNING_RATES, default="adam", help="default: adam")
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the initial weights and the batches (default: 0)",
    )
    parser.add_argument(
        "--layers",
        choices=LAYERS,
        default="cnnext",
        help="whose layers; torch's get the same initial weights and batches (default: cnnext)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the run (default: runs/MODEL-DATA, or runs/MODEL-DATA-torch)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="continue the run in the folder, same settings"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the run in the folder, if there is one"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, test, print and write the files; 130 if interrupted."""
    subjects.check_name(arguments.model, subjects.builders())
    for module in ("sklearn.metrics", "matplotlib.figure"):
        demo_module(module)  # before an epoch is spent
    settings = _settings(arguments)
    split = DATA[settings.data]()
    check_fit(settings.model, split)
    folder = RunFolder(arguments.out or _default_folder(settings))
    with torch.random.fork_rng(devices=[]):
        training_run = TrainingRun(settings, split, folder)
        if arguments.resume:
            training_run.resume(arguments.epochs)
        else:
            folder.start(overwrite=arguments.overwrite)
        print(
            f"{settings.model} with {settings.layers} layers on {settings.data}:"
            f" {len(split.train)} images to learn from, {len(split.test)} to test"
        )
        try:
            training_run.train(arguments.epochs)
            training_run.finish()
        except KeyboardInterrupt:
            print(f"\n{_how_to_resume(settings, arguments.epochs, folder)}", file=sys.stderr)
            return _INTERRUPTED
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        model=arguments.model,
        data=arguments.data,
        layers=arguments.layers,
        batch_size=arguments.batch_size,
        optimizer=arguments.optimizer,
        lr=arguments.lr or LEARNING_RATES[arguments.optimizer],
        seed=arguments.seed,
    )


def _default_folder(settings: Settings) -> Path:
    suffix = "" if settings.layers == "cnnext" else f"-{settings.layers}"
    return Path("runs", f"{settings.model}-{settings.data}{suffix}")


def _how_to_resume(settings: Settings, epochs: int, folder: RunFolder) -> str:
    if not folder.checkpoint.exists():
        return "Interrupted before the end of the first epoch: there is nothing to resume."
    options = asdict(settings) | {"epochs": epochs, "out": folder.path}
    command = ["python", "-m", "cnnext", "train", options.pop("model")]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return f"Interrupted. Continue with\n\n    {shlex.join([*command, '--resume'])}"

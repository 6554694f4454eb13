"""``cnnext train``: a model on real data, from the first epoch to its results on test data."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cnnext.cli import device
from cnnext.cli.arguments import demo_module, positive_float, positive_int, seed
from cnnext.cli.subjects import check_name, functions
from cnnext.cli.training_run import TrainingRun
from cnnext.training import processes
from cnnext.training.catalog import TASKS
from cnnext.training.processes import Processes
from cnnext.training.run_folder import RunFolder
from cnnext.training.settings import LAYERS, OPTIMIZERS, SCHEDULES, Settings
from cnnext.training.task import Defaults
from cnnext.training.transfer import FEATURES

_INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model and test it",
        description=(
            "Train a model, test it on data that it never learns from, and store checkpoint, log,"
            " curves and results. The same settings give the same weights, also after --resume."
            " Started by torchrun, processes share each batch, and the first of them prints and"
            " writes. Exit code 130 if interrupted."
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="a builder of cnnext.models, e.g. lenet5")
    parser.add_argument(
        "--data",
        choices=TASKS,
        default="digits",
        help=(
            "images: digits (default), digits-0-4 and then digits-5-9 for transfer learning, mnist,"
            " fashion-mnist, cifar10, imagefolder; shapes to segment; a sine wave to predict; the"
            " graph of the karate club"
        ),
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help=(
            "where torchvision has stored mnist, fashion-mnist or cifar10 (default: data), or the"
            " folder with train/CLASS and test/CLASS of imagefolder"
        ),
    )
    parser.add_argument(
        "--epochs",
        type=positive_int,
        metavar="N",
        help="in total, those before --resume included (default: by data, 20 for digits)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help=(
            "samples of a step, of all processes together (default: by data, 32 for digits); the"
            " last step of an epoch has what is left, and all samples of a step weigh the same"
        ),
    )
    parser.add_argument(
        "--lr",
        type=positive_float,
        metavar="X",
        help=(
            "learning rate of the first epoch (default: by data and optimizer, 0.002 for digits"
            " and adam)"
        ),
    )
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: adam")
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default=SCHEDULES[0],
        help=(
            "of the learning rate, by epochs: exponential (default), by a factor of the data, 0.9"
            " for digits; constant; step, to a tenth after each third of the default epochs;"
            " cosine, to 0 at the end, for which --resume cannot change --epochs"
        ),
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision by torch.autocast: bfloat16 on the CPU, float16 on a GPU",
    )
    parser.add_argument(
        "--device",
        choices=device.TYPES,
        default="cpu",
        help="default: cpu; cuda is one GPU, or one a process under torchrun",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="FILE",
        help=(
            "weights to start from: a state_dict of ours or torchvision's, or a checkpoint of this"
            " command; a last layer of another size, or for other classes, is left out"
        ),
    )
    parser.add_argument(
        "--freeze",
        type=_frozen,
        metavar="features|N",
        help="train the last layer alone, or the last N of the model's parts",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the initial weights, the batches, and the few images of digits-5-9 (default: 0)",
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
    with processes.joined(arguments.device) as job:
        return _train(arguments, job)


def _train(arguments: argparse.Namespace, job: Processes) -> int:
    check_name(arguments.model, functions())
    for module in ("sklearn.metrics", "matplotlib.figure"):
        demo_module(module)  # before an epoch is spent
    task = TASKS[arguments.data](arguments.model, arguments.root, arguments.seed)
    device.find(arguments.device, "auto")
    epochs = arguments.epochs or task.defaults.epochs
    settings = _settings(arguments, task.defaults, epochs)
    folder = RunFolder(arguments.out or _default_folder(settings), task.results_files)
    devices = [torch.cuda.current_device()] if settings.device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        training_run = TrainingRun(settings, task, folder, job)
        if arguments.resume:
            training_run.resume(epochs)
        else:
            training_run.start()
            job.wait()  # another process may still read --init from the folder
            if job.first:
                folder.start(overwrite=arguments.overwrite)
        if job.first:
            print(
                f"{settings.model} with {settings.layers} layers on {settings.data}:"
                f" {task.description}"
            )
        try:
            training_run.train(epochs)
            if job.first:
                training_run.finish()
            job.wait()
        except KeyboardInterrupt:
            if job.reports():
                hint = _how_to_resume(arguments, settings, epochs, folder, job)
                print(f"\n{hint}", file=sys.stderr)
            return _INTERRUPTED
    return 0


def _settings(arguments: argparse.Namespace, defaults: Defaults, epochs: int) -> Settings:
    return Settings(
        model=arguments.model,
        data=arguments.data,
        layers=arguments.layers,
        batch_size=arguments.batch_size or defaults.batch_size,
        optimizer=arguments.optimizer,
        lr=arguments.lr or defaults.rates[arguments.optimizer],
        seed=arguments.seed,
        schedule=arguments.schedule,
        schedule_epochs=epochs if arguments.schedule == "cosine" else None,
        amp=arguments.amp,
        device=arguments.device,
        init=None if arguments.init is None else str(arguments.init),
        freeze=arguments.freeze,
    )


def _frozen(text: str) -> str:
    """An argument that ``transfer.freeze`` takes."""
    return text if text == FEATURES else str(positive_int(text))


def _default_folder(settings: Settings) -> Path:
    suffix = "" if settings.layers == "cnnext" else f"-{settings.layers}"
    return Path("runs", f"{settings.model}-{settings.data}{suffix}")


def _how_to_resume(
    arguments: argparse.Namespace,
    settings: Settings,
    epochs: int,
    folder: RunFolder,
    job: Processes,
) -> str:
    if not folder.checkpoint.exists():
        return "Interrupted before the end of the first epoch: there is nothing to resume."
    options = asdict(settings) | {"epochs": epochs, "root": arguments.root, "out": folder.path}
    launcher = ["python"] if job.count == 1 else ["torchrun", "--nproc-per-node", str(job.count)]
    command = [*launcher, "-m", "cnnext", "train", options.pop("model")]
    del options["schedule_epochs"]
    if options.pop("amp"):
        command.append("--amp")
    for name, value in options.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return f"Interrupted. Continue with\n\n    {shlex.join([*command, '--resume'])}"

"""Runs of ``train`` in a folder, and what they leave there."""

import csv

import torch

from cnnext import cli
from cnnext.training.settings import Settings

# After one epoch.
FILES = {"checkpoint.pt", "log.csv", "curves.png", "confusion.csv", "confusion.png"}
TRAIN_SIZE, TEST_SIZE, BATCH = 80, 40, 32


def command(out, *options):
    return cli.main(["train", "lenet5", "--out", str(out), *map(str, options)])


def settings(**changes):
    defaults = {"layers": "cnnext", "batch_size": BATCH, "optimizer": "adam", "lr": 2e-3, "seed": 0}
    return Settings("lenet5", "digits", **(defaults | changes))


def load(out):
    return torch.load(out / "checkpoint.pt", weights_only=True)


def log(out):
    with (out / "log.csv").open(newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]


def assert_same_run(out, other):
    """Bit by bit: the weights, the optimizer's state, the generators and the log."""
    a, b = load(out), load(other)
    assert a["settings"] == b["settings"]
    assert a["optimizer"]["param_groups"] == b["optimizer"]["param_groups"]
    for tensors in (
        lambda state: state["model"],
        lambda state: state["optimizer"]["state"],
        lambda state: (state["generator"], state["global_generator"]),
    ):
        torch.testing.assert_close(tensors(a), tensors(b), rtol=0, atol=0)
    assert log(out) == log(other)

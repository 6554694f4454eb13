"""Our models against torchvision's: as stored in torchvision.jsonl, and as installed."""

import inspect
import json
from typing import Any

import pytest
import torch

from cnnext import models
from tests.models import write_torchvision
from tests.models.write_torchvision import MODELS, PATH, multiply_adds, shapes

OURS_ALONE = {
    *("lenet5", "mlp", "simple_cnn", "fashion_cnn", "alexnet_227"),
    *("crnn", "simple_rnn", "simple_lstm", "simple_gru", "gcn"),
    *("unet", "deconvnet", "pspnet", "fast_rcnn_head"),
}

# Layers that torchvision calls as functions.
FUNCTIONS = {
    "googlenet": {"ReLU", "AdaptiveAvgPool2d"},
    "mobilenet_v2": {"AdaptiveAvgPool2d"},
    "densenet121": {"ReLU", "AdaptiveAvgPool2d"},
}

ROWS = [json.loads(line) for line in PATH.read_text().splitlines()]


def label(name: str, arguments: dict[str, Any]) -> str:
    return "-".join([name, *(f"{key}={value}" for key, value in arguments.items())])


def build(name: str, **arguments: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return getattr(models, name)(layers=torch.nn, **arguments)


stored = pytest.mark.parametrize(
    "row", ROWS, ids=[label(row["model"], row["arguments"]) for row in ROWS]
)


def test_every_builder_is_stored() -> None:
    builders = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    assert {row["model"] for row in ROWS} == builders - OURS_ALONE
    assert [(row["model"], row["arguments"]) for row in ROWS] == list(MODELS)


@stored
def test_state_dict_has_torchvision_keys_and_shapes(row: dict[str, Any]) -> None:
    model = build(row["model"], **row["arguments"])
    assert list(shapes(model).items()) == list(row["shapes"].items())


@stored
def test_computes_as_much_as_torchvision(row: dict[str, Any]) -> None:
    """Which strides, paddings and groups decide, and shapes of weights do not."""
    assert multiply_adds(build(row["model"], **row["arguments"])) == row["multiply_adds"]


@pytest.mark.parametrize(
    "name, arguments", MODELS, ids=[label(name, arguments) for name, arguments in MODELS]
)
def test_equals_torchvision_where_installed(name: str, arguments: dict[str, Any]) -> None:
    pytest.importorskip("torchvision")
    theirs, ours = write_torchvision.build(name, **arguments), build(name, **arguments)
    assert list(shapes(ours).items()) == list(shapes(theirs).items())
    assert layers(ours, name) == layers(theirs, name)


def layers(model: torch.nn.Module, name: str) -> list[str]:
    leaves = [module for module in model.modules() if not list(module.children())]
    return [repr(leaf) for leaf in leaves if type(leaf).__name__ not in FUNCTIONS.get(name, ())]

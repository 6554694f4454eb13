"""Files that users of earlier versions have: modules, state_dicts, training runs, programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnext
from cnnext import cli, models
from cnnext.testing.errors import assert_contract
from tests.pytorch_integration.cases import LAYERS, Network, loss_of, outputs_of
from tests.stored.write import FOLDER, TRAINING

VERSIONS = sorted(path.parent.name for path in FOLDER.glob("*/modules.pt"))
MODULES = (*(layer.name for layer in LAYERS), "Sequential", "converted", "traced by torch.fx")


@pytest.fixture(scope="module", params=VERSIONS)
def folder(request: pytest.FixtureRequest) -> Path:
    return FOLDER / request.param


@pytest.fixture(scope="module")
def modules(folder: Path) -> dict[str, dict[str, Any]]:
    return torch.load(folder / "modules.pt", weights_only=False)


@pytest.mark.parametrize("name", MODULES)
def test_pickled_modules_compute_and_train(modules: dict[str, Any], name: str) -> None:
    if name not in modules:
        pytest.skip("newer than these files")
    entry = modules[name]
    module = entry["module"]
    outputs = outputs_of(module(*entry["inputs"]))
    for ours, native, reference in zip(outputs, entry["native"], entry["reference"], strict=True):
        assert_contract(ours.detach(), native, reference)
    parameters = list(module.parameters())
    if parameters:
        assert all(t.isfinite().all() for t in torch.autograd.grad(loss_of(outputs), parameters))


def test_pickled_modules_are_of_todays_classes(modules: dict[str, Any]) -> None:
    for name in {layer.name for layer in LAYERS}.intersection(modules):
        assert type(modules[name]["module"]) is getattr(cnnext.nn, name)
    converted = modules["converted"]["module"]
    assert type(converted) is cnnext.nn.Sequential
    assert type(cnnext.restore(converted)[0]) is torch.nn.Conv2d


def test_state_dicts_fill_the_same_layers(folder: Path, modules: dict[str, Any]) -> None:
    entries = torch.load(folder / "state_dicts.pt", weights_only=True)
    for name, entry in entries.items():
        layer = getattr(cnnext.nn, name)(*entry["arguments"], **entry["options"])
        layer.load_state_dict(entry["state_dict"])
        inputs = modules[name]["inputs"]
        for ours, stored in zip(
            outputs_of(layer(*inputs)), outputs_of(modules[name]["module"](*inputs)), strict=True
        ):
            assert torch.equal(ours, stored)


def test_state_dicts_fit_the_same_models(folder: Path) -> None:
    lines = (folder / "models.jsonl").read_text().splitlines()
    with torch.device("meta"):
        for name, expected in map(json.loads, lines):
            state = getattr(models, name)(layers=cnnext.nn).state_dict()
            assert {key: list(t.shape) for key, t in state.items()} == expected, name


def test_exported_programs_run(folder: Path) -> None:
    program = torch.export.load(folder / "exported.pt2").module()
    images = Network.images()
    native = Network(torch.nn)
    single = native(images)
    assert_contract(program(images), single, native.double()(images.double()))


def test_training_continues_from_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    assert cli.main([*TRAINING, "--epochs", "2", "--out", str(run), "--resume"]) == 0
    first, second = torch.load(run / "checkpoint.pt", weights_only=True)["history"]
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert second["train_loss"] < first["train_loss"]

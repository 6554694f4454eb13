"""Importing the package: what it takes along, from where, and once more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from setuptools.config.pyprojecttoml import read_configuration

import cnnext
from cnnext.runtime.shadowing import why_not_built

ROOT = Path(__file__).parents[1]


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, **options
    )


# What one process sees that imports the package first of all; torch itself imports some of these.
_FIRST_IMPORT = """
import importlib.metadata, json, sys, time

def without_metadata(name):
    raise importlib.metadata.PackageNotFoundError(name)

importlib.metadata.distribution = importlib.metadata.version = without_metadata

import torch

HEAVY = (
    *("cnnext.testing", "sympy", "torch._dynamo", "torch._inductor", "torch.testing._internal"),
    "triton",
)
by_torch = set(sys.modules)

def heavy():
    return sorted(name for name in set(sys.modules) - by_torch if name.startswith(HEAVY))

start = time.perf_counter()
import cnnext
seen = {"seconds": time.perf_counter() - start, "version": cnnext.__version__}
seen["import"] = heavy()

class Layers(torch.nn.Module):
    def __init__(self, nn):
        super().__init__()
        self.image = torch.nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 4, 2),
            nn.AvgPool2d(1), nn.AdaptiveAvgPool2d(2)
        )
        self.sequence = nn.LSTM(4, 3)
        self.cell = nn.GRUCell(3, 3)
        self.last = nn.Linear(3, 2)
    def forward(self, x):
        output, _ = self.sequence(self.image(x).flatten(1).view(-1, 1, 4))
        return self.last(self.cell(output[-1]))

def train(net):
    x = torch.ones(2, 2, 8, 8, requires_grad=True)
    net(x).sum().backward()
    return x.grad

def flops(net):
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        net.image(torch.ones(2, 2, 8, 8))
    return counter.get_total_flops()

def leaves(net):
    graph = torch.fx.symbolic_trace(net.image).graph
    return [str(node.op) for node in graph.nodes].count("call_module")

def tools(net):
    image, x = net.image, torch.ones(2, 2, 8, 8)
    compiled = torch.compile(image, backend="aot_eager")(x)
    program = torch.export.export(image, (x,))
    return {
        "flops": flops(net),
        "leaves": leaves(net),
        "compiled": torch.equal(compiled, image(x)),
        "exported": torch.equal(program.module()(x), image(x)),
        "kernels": sorted(
            {str(node.target) for node in program.graph.nodes if "cnnext" in str(node.target)}
        ),
    }

torch.manual_seed(0)
first = Layers(cnnext)
grad = train(first)
seen["training"] = heavy()
seen["tools"] = tools(first)
seen["native flops"] = flops(cnnext.restore(first))

old = cnnext
for name in [name for name in sys.modules if name.partition(".")[0] == "cnnext"]:
    del sys.modules[name]
import cnnext
seen["anew"] = cnnext is not old and cnnext.nn.Conv2d is not old.nn.Conv2d
second = Layers(cnnext)
second.load_state_dict(first.state_dict())
seen["same"] = [torch.equal(train(net), grad) for net in (first, second)]
seen["tools of both"] = [tools(net) for net in (first, second)]
pairs = ((old, first), (cnnext, second))
owners = {package.runtime.planned_calls.owner_of(net).number for package, net in pairs}
seen["owners"] = len(owners)

del sys.modules["cnnext.ops.conv2d"]
import cnnext.ops.conv2d
seen["tools after a part"] = tools(second)

print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    result = run(["-W", "error", "-c", _FIRST_IMPORT])
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_metadata_is_not_needed(seen: dict[str, Any]) -> None:
    assert seen["version"] == cnnext.__version__


def test_metadata_has_the_version_of_the_package() -> None:
    configuration = read_configuration(ROOT / "pyproject.toml", expand=True)
    assert configuration["project"]["version"] == cnnext.__version__


@pytest.mark.parametrize("after", ["import", "training"])
def test_tools_of_torch_are_not_imported(seen: dict[str, Any], after: str) -> None:
    assert seen[after] == []


def test_tools_know_the_operators_when_they_are_imported(seen: dict[str, Any]) -> None:
    tools = seen["tools"]
    assert tools["flops"] == seen["native flops"] > 0
    assert tools["leaves"] == 6
    assert tools["compiled"] and tools["exported"]
    assert "cnnext.conv2d.default" in tools["kernels"]


def test_imported_again(seen: dict[str, Any]) -> None:
    """The modules of both imports work, alone and with torch's tools."""
    assert seen["anew"]
    assert seen["same"] == [True, True]
    assert seen["tools of both"] == [seen["tools"]] * 2
    assert seen["owners"] == 2
    assert seen["tools after a part"] == seen["tools"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source folder in which nothing is compiled."""
    shutil.copytree(
        ROOT / "cnnext", tmp_path / "cnnext", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    return tmp_path


def test_source_folder_hides_the_installed_package(source: Path) -> None:
    # An editable installation adds its compiled library to whatever package is found first.
    command = """
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
runpy.run_module("cnnext", run_name="__main__")
"""
    result = run(["-c", command, "env"], cwd=source)
    assert result.returncode != 0
    message = result.stderr.splitlines()[-1]
    assert f"{source / 'cnnext'} holds no compiled kernels" in message
    assert f"hides the installed cnnext in {ROOT / 'cnnext'}" in message
    assert "run `cnnext`" in message


def test_source_folder_alone(source: Path) -> None:
    message = why_not_built(source / "cnnext", path=[str(source)])
    assert message.endswith("They are built by `pip install .` in cnnext's source folder.")

"""Data parallelism: the gradients of several replicas or processes are those of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import cnnext
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import LIBRARIES, Network, gradients_of, loss_of
from tests.pytorch_integration.distributed import CHECKS

_ROOT = Path(__file__).parents[2]


def test_data_parallel_without_a_gpu() -> None:
    """The wrapper hands everything on; its state has other names."""
    results = []
    for _, layers in LIBRARIES:
        model = nn.DataParallel(Network(layers))
        results.append((model.state_dict(), gradients_of(model, Network.images())))
    assert_same_sums(*results)


def test_a_replica_shares_no_gradient() -> None:
    """What nn.parallel.replicate does to a module: parameters become plain tensors of a graph."""
    model = Network(cnnext.nn)
    replica = Network(cnnext.nn)
    for ours, copied in zip(model.modules(), replica.modules(), strict=True):
        for name, parameter in list(ours.named_parameters(recurse=False)):
            del copied._parameters[name]
            setattr(copied, name, parameter * 1)
    gradients = torch.autograd.grad(loss_of(replica(Network.images())), tuple(model.parameters()))
    expected = gradients_of(Network(nn), Network.images())
    assert_same_sums(dict(zip(expected, gradients, strict=True)), expected)


@pytest.mark.parametrize(
    "names",
    (
        pytest.param(["ddp", "ddp_with_unused_parameters", "ddp_static_graph"], id="ddp"),
        pytest.param(list(CHECKS), id="all", marks=pytest.mark.slow),
    ),
)
def test_two_processes(names: list[str], tmp_path: Path) -> None:
    finished = subprocess.run(
        (
            *(sys.executable, "-m", "tests.pytorch_integration.distributed"),
            *(f"file://{tmp_path}/store", *names),
        ),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr

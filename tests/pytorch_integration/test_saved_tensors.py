"""What is kept for the backward pass, elsewhere or twice; and anomaly mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from tests.ops.support import CNNEXT, NATIVE
from tests.pytorch_integration.cases import (
    Layer,
    Operator,
    assert_same_bits,
    each_layer,
    each_operator,
    grads_of,
    loss_of,
)

# ----------------------------------------------------------------------------- saved tensors


def on_disk(directory: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    files = iter(range(1000))

    def pack(t: Tensor) -> Any:
        path = directory / str(next(files))
        torch.save(t, path)
        return path

    return pack, lambda path: torch.load(path)


@pytest.mark.parametrize("place", ("cpu", "disk", "half"))
@each_operator
def test_saved_tensors_elsewhere(op: Operator, place: str, tmp_path: Any) -> None:
    """In half precision integers survive; the positions of a pool are not floating."""

    def halve(t: Tensor) -> Any:
        return (t.half(), t.dtype) if t.is_floating_point() else (t, t.dtype)

    hooks = {
        "cpu": lambda: torch.autograd.graph.save_on_cpu(),
        "disk": lambda: torch.autograd.graph.saved_tensors_hooks(*on_disk(tmp_path)),
        "half": lambda: torch.autograd.graph.saved_tensors_hooks(
            halve, lambda packed: packed[0].to(packed[1])
        ),
    }[place]
    results = []
    for hooked in (True, False):
        leaves = tuple(leaf.detach().round().requires_grad_() for leaf in op.leaves())
        with hooks() if hooked else contextlib.nullcontext():
            outputs = op.call(CNNEXT, *leaves)
        seeds = [torch.ones_like(t) for t in outputs]
        results.append(torch.autograd.grad(outputs, leaves, seeds))
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if place == "half" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(*results, **tolerance)


@each_operator
def test_no_more_is_saved_than_by_native(op: Operator) -> None:
    """Counted in bytes, tensors kept twice once."""
    kept = []
    for library in (CNNEXT, NATIVE):
        packed: dict[int, int] = {}

        def pack(t: Tensor, packed: dict[int, int] = packed) -> Tensor:
            packed[t.data_ptr()] = t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            outputs = op.call(library, *op.leaves())
        kept.append((sum(packed.values()), outputs))
    assert kept[0][0] <= kept[1][0]


@each_operator
def test_backward_twice_needs_a_retained_graph(op: Operator) -> None:
    leaves = op.leaves()
    loss = loss_of(op.call(CNNEXT, *leaves))
    once = torch.autograd.grad(loss, leaves, retain_graph=True)
    assert_same_bits(torch.autograd.grad(loss, leaves), once)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, leaves)


# ------------------------------------------------------------------------------ anomaly mode


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@each_layer
def test_anomaly_mode_finds_nothing_where_nothing_is(layer: Layer) -> None:
    module = layer.build(cnnext.nn)
    expected = layer.gradients(module) if list(module.parameters()) else {}
    image, *states = layer.inputs()
    module.zero_grad()
    with torch.autograd.detect_anomaly():
        loss_of(module(image.requires_grad_(), *states)).backward()
    assert_same_bits(grads_of(module), expected)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@each_operator
def test_anomaly_mode_names_the_operator(op: Operator) -> None:
    """Where a NaN arises in its backward pass, and the line of its forward pass."""
    leaves = op.leaves()
    with (
        pytest.warns(UserWarning, match="test_saved_tensors.py"),
        pytest.raises(RuntimeError, match=f"{op.node}' returned nan"),
        torch.autograd.detect_anomaly(),
    ):
        outputs = op.call(CNNEXT, *leaves)
        for t in outputs:
            t.register_hook(lambda gradient: gradient * torch.nan)
        loss_of(outputs).backward()

"""torch.jit.trace and torch.jit.script: what they record calls native PyTorch, and says so."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from tests.ops.support import CNNEXT, NATIVE
from tests.pytorch_integration.cases import (
    IMAGES,
    LAYERS,
    Layer,
    Operator,
    assert_same_bits,
    each_layer,
    each_operator,
    outputs_of,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

REASON = "torch.jit.trace is recording"


@each_operator
def test_a_traced_function(op: Operator, fallbacks: list[str]) -> None:
    if op.name == "max_unpool2d":
        pytest.skip("native cannot be traced: it checks sizes by a function that takes no tensors")
    operands = op.operands()
    traced = torch.jit.trace(lambda *values: op.call(CNNEXT, *values), operands)
    assert "cnnext::" not in str(traced.graph)
    assert_same_bits(traced(*operands), op.call(NATIVE, *operands))
    assert fallbacks == [f"cnnext.{op.name} uses native PyTorch: {REASON}"]


@each_layer
def test_a_traced_module(layer: Layer, fallbacks: list[str]) -> None:
    ours, native = layer.pair()
    traced = torch.jit.trace(ours, layer.inputs())
    assert "cnnext::" not in str(traced.inlined_graph)
    assert_same_bits(layer.outputs(traced), layer.outputs(native))
    (said,) = fallbacks
    assert said.endswith(REASON)


class Caller(nn.Module):
    """torch compiles the forward pass of an RNN only inside another module."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


WITH_OPTIONS = (
    Layer("Conv2d", (3, 4, 3), (IMAGES,), {"padding": 2, "padding_mode": "reflect"}),
    Layer("Conv2d", (3, 4, 2), (IMAGES,), {"padding": "same"}),
    Layer("MaxPool2d", (3,), (IMAGES,), {"ceil_mode": True}),
    Layer("RNN", (3, 4, 2), ((5, 2, 3),), {"nonlinearity": "relu", "bidirectional": True}),
)


#: In the names of layers of which native's are compiled.
NATIVE_SCRIPTS = r"BatchNorm|ConvTranspose|1d|3d"


@pytest.mark.parametrize("layer", (*LAYERS, *WITH_OPTIONS), ids=lambda layer: layer.name)
def test_a_compiled_script(layer: Layer) -> None:
    ours, native = map(Caller, layer.pair())
    scripted = torch.jit.script(ours)
    assert "cnnext::" not in str(scripted.inlined_graph)
    x = layer.inputs()[0]
    assert_same_bits(outputs_of(scripted(x)), outputs_of(native(x)))
    # Native's, in their place.
    prepared = layer.recurrent or re.search(NATIVE_SCRIPTS, layer.name)
    assert prepared or type(ours.layer) is getattr(cnnext, layer.name)

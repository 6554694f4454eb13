"""ONNX by both exporters, and torch.jit.trace: quiet, and what comes out computes the same."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import cnnext
from cnnext import NativeFallbackWarning
from cnnext.runtime import fallback
from cnnext.testing.errors import assert_contract
from tests.pytorch_integration.networks import SmallNetwork, each_network


class Network(nn.Module):
    """A CNN that an LSTM, a GRU and a cell read column by column."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 6, 3, padding="same"), nn.ReLU(), nn.AvgPool2d(2)),
            nn.AdaptiveAvgPool2d((4, 2)),
        )
        self.lstm = nn.LSTM(12, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(10, 4, batch_first=True)
        self.cell = nn.LSTMCell(4, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.images(x).permute(0, 2, 1, 3).flatten(2)
        y, _ = self.gru(self.lstm(y)[0])
        h, _ = self.cell(y[:, -1])
        return self.last(h)


@pytest.fixture
def native() -> nn.Module:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(autouse=True)
def _every_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "_noticed", set())


def ours(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in caught if "cnnext" in w.filename or "cnnext" in str(w.message)]


def to_onnx(model: nn.Module, inputs: tuple[Tensor, ...], *, dynamo: bool, batched: bool) -> Any:
    """A session of ONNX Runtime, which takes inputs `x0`, `x1`, ...; no warning is ours."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    names, file = [f"x{i}" for i in range(len(inputs))], io.BytesIO()
    options: dict[str, Any] = {}
    if batched and dynamo:
        batch = torch.export.Dim("batch")
        options = {"dynamic_shapes": tuple({0: batch} for _ in inputs)}
    elif batched:
        options = {"dynamic_axes": {name: {0: "batch"} for name in names}}
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        torch.onnx.export(
            model, inputs, file, input_names=names, dynamo=dynamo, verbose=False, **options
        )
    assert ours(caught) == []
    return onnxruntime.InferenceSession(file.getvalue())


def check(session: Any, native: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    outputs = session.run(None, {f"x{i}": x.numpy() for i, x in enumerate(inputs)})
    with torch.no_grad():
        expected = tree_leaves(native(*inputs))
        exact = tree_leaves(copy.deepcopy(native).double()(*(x.double() for x in inputs)))
    for output, *references in zip(outputs, expected, exact, strict=True):
        assert_contract(torch.from_numpy(output), *references)


@pytest.mark.parametrize("dynamo", [True, False])
def test_onnx(native: nn.Module, dynamo: bool) -> None:
    """The exported model takes batches of any size."""
    converted, x = cnnext.convert(native), torch.randn(3, 1, 32, 16)
    session = to_onnx(converted, (x,), dynamo=dynamo, batched=True)
    for batch in (1, 3, 5):
        check(session, native, (torch.randn(batch, 1, 32, 16),))


@pytest.mark.parametrize("dynamo", [True, False])
@each_network
def test_onnx_of_a_model(network: SmallNetwork, dynamo: bool) -> None:
    if not dynamo and not network.scripted:
        pytest.skip("the exporter refuses the native counterpart, too")
    model, native = network.pair()
    session = to_onnx(model, network.inputs(2), dynamo=dynamo, batched=network.batched)
    for batch in (2, 3) if network.batched else (2,):
        check(session, native, network.inputs(batch))


def test_trace(native: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "is_strict", lambda: False)
    converted, x = cnnext.convert(native), torch.randn(3, 1, 32, 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(converted, (x,))
    categories = {w.category for w in caught if "cnnext" in w.filename}
    assert categories <= {NativeFallbackWarning}
    assert torch.equal(traced(x), native(x))

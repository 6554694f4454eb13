"""ONNX by both exporters, and torch.jit.trace: quiet, and what comes out computes the same."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext import NativeFallbackWarning
from cnnext.runtime import fallback
from cnnext.testing.errors import assert_contract


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


@pytest.mark.parametrize("dynamo", [True, False])
def test_onnx(native: nn.Module, dynamo: bool) -> None:
    """The exported model takes batches of any size."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    converted, x, file = cnnext.convert(native), torch.randn(3, 1, 32, 16), io.BytesIO()
    options: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}}}
    if dynamo:
        options = {"dynamic_shapes": {"x": {0: torch.export.Dim("batch")}}}
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        torch.onnx.export(
            converted, (x,), file, input_names=["x"], dynamo=dynamo, verbose=False, **options
        )
    assert ours(caught) == []
    session = onnxruntime.InferenceSession(file.getvalue())
    for batch in (1, 3, 5):
        images = torch.randn(batch, 1, 32, 16)
        (output,) = session.run(None, {"x": images.numpy()})
        with torch.no_grad():
            exact = copy.deepcopy(native).double()(images.double())
            assert_contract(torch.from_numpy(output), native(images), exact)


def test_trace(native: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "is_strict", lambda: False)
    converted, x = cnnext.convert(native), torch.randn(3, 1, 32, 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(converted, (x,))
    categories = {w.category for w in caught if "cnnext" in w.filename}
    assert categories <= {NativeFallbackWarning}
    assert torch.equal(traced(x), native(x))

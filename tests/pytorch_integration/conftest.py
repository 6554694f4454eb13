"""As for the operator tests: one thread, and nothing computes by native PyTorch unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.ops.conftest import _one_thread, _strict, fallbacks  # noqa: F401  (fixtures)
from tests.pytorch_integration.cases import Layer


@pytest.fixture(autouse=True)
def _compiled_recurrences() -> Iterator[None]:
    """TorchDynamo traces LSTM, GRU and RNN only if it is told to."""
    with torch._dynamo.config.patch(allow_rnn=True):
        yield


@pytest.fixture(autouse=True)
def _native_lstm_by_aten(request: pytest.FixtureRequest) -> Iterator[None]:
    """By oneDNN it has no float16, no count of operations, and few kinds of derivatives."""
    callspec = getattr(request.node, "callspec", None)
    layer = callspec and callspec.params.get("layer")
    by_aten = isinstance(layer, Layer) and layer.name == "LSTM"
    before = torch.backends.mkldnn.enabled
    torch._C._set_mkldnn_enabled(before and not by_aten)
    yield
    torch._C._set_mkldnn_enabled(before)

"""A GPU that PyTorch seems to have."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> str:
    """One GPU of capability 9.0 and CUDA 13.0; returns its name."""
    name = "Some GPU"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for function, result in {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": name,
        "get_device_capability": (9, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, function, lambda *device, result=result: result)
    return name

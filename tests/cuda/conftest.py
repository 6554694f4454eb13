"""The `device` of the CUDA tests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tests.cuda.devices import DEVICES, SEEDS, Device


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Device:
    return request.param


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Slow: what float32 has shown of layouts, larger cases and orders of emulated threads."""
    for item in items:
        values = item.callspec.params if hasattr(item, "callspec") else {}
        device, dtype = values.get("device"), values.get("dtype", torch.float32)
        if not isinstance(device, Device) or not device.emulated or dtype == torch.float32:
            continue
        repeats_layout = values.get("layout") == "channels_last"
        case = str(values.get("case"))
        if device.seed != SEEDS[0] or repeats_layout or case.endswith("many_tiles"):
            item.add_marker(pytest.mark.slow)

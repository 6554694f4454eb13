"""The `device` of the CUDA tests."""

from __future__ import annotations

import pytest

from tests.cuda.devices import DEVICES, Device


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Device:
    return request.param

"""Seeds every test, and hands out the architectures."""

import pytest
import torch
from torch import nn

from tests.convert.architectures import ARCHITECTURES

SEED = 20240229


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(SEED)


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return ARCHITECTURES[request.param]()

"""Native PyTorch computes what cnnext cannot here, and says so; what is compared is the result."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from tests.ops.conftest import _one_thread  # noqa: F401  (a fixture)

# PyTorch's utilities for its own tests forbid the whole process to set flags of backends, when they
# are first imported; other tests set them.
with mock.patch("torch.backends.disable_global_flags"):
    import torch.testing._internal.common_utils  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    for notice in (
        "cnnext\\.",
        "Using padding='same' with even kernel",
        "Complex modules are a new feature",
        "The PyTorch API of nested tensors",
        "Sparse CSR tensor support is in beta",
    ):
        config.addinivalue_line("filterwarnings", f"ignore:{notice}")

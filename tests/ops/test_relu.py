"""relu alone: the rest of it tests/ops/test_elementwise*.py ask."""

from __future__ import annotations

import math

import pytest
import torch

from tests.ops.support import CNNEXT, DTYPES


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_at_special_values(dtype: torch.dtype) -> None:
    """One at NaN, as ATen has it, and zero at both zeros."""
    leaf = torch.tensor([math.nan, 0.0, -0.0, math.inf, -math.inf], dtype=dtype)
    CNNEXT.relu(leaf.requires_grad_()).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [1, 0, 0, 1, 0]

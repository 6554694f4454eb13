"""relu alone: the rest of it tests/ops/test_elementwise*.py ask."""

from __future__ import annotations

import math

import pytest
import torch

from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, DTYPES


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_at_special_values(dtype: torch.dtype) -> None:
    """One at NaN, as ATen has it, and zero at both zeros."""
    leaf = torch.tensor([math.nan, 0.0, -0.0, math.inf, -math.inf], dtype=dtype)
    CNNEXT.relu(leaf.requires_grad_()).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("inplace", (False, True), ids=("", "inplace"))
@pytest.mark.parametrize(
    ("numel", "name"), ((65535, "ReluBackward0"), (65536, "ReLUFunctionBackward"))
)
def test_small_tensors_train_natively(
    monkeypatch: pytest.MonkeyPatch, numel: int, name: str, inplace: bool
) -> None:
    monkeypatch.setattr("cnnext.ops.common.elementwise._MIN_BYTES_FOR_FUNCTION", 256 << 10)
    leaf = torch.linspace(-1, 1, numel, requires_grad=True)
    output = CNNEXT.relu(leaf * 1, inplace)
    assert output.grad_fn is not None and output.grad_fn.name() == name
    output.sum().backward()
    assert leaf.grad is not None
    assert_bitwise_equal(leaf.grad, (leaf > 0).float())

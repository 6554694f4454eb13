"""Operands and results that are written to before backward, with the CUDA kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.cuda.devices import WITH_RAW_OPERATORS, Device
from tests.ops.conftest import _strict  # noqa: F401  (a fixture)
from tests.pytorch_integration.test_written_memory import (
    FUNCTIONS,
    OURS,
    WRITES,
    Call,
    Tensors,
    Write,
    _native_by_aten,  # noqa: F401  (a fixture)
    check_writes,
    each_dtype,
    gradients,
)

#: On a GPU dropout draws other numbers.
WAYS = tuple(set(WRITES) - {"dropout"})
#: linear is ATen's on CUDA.
CALLS = tuple(call for call in FUNCTIONS if call.name in set(WITH_RAW_OPERATORS) - {"linear"})
#: The emulated operators have no gradients; the gradients of all other gradients are ATen's.
TWICE = tuple(call for call in CALLS if "avg_pool" not in call.name)


@each_dtype
@pytest.mark.parametrize(
    ("call", "order"),
    [
        pytest.param(call, order, id=f"{call}-{name}")
        for order, name, calls in ((1, "first", CALLS), (2, "second", TWICE))
        for call in calls
    ],
)
def test_writes_that_native_allows(
    call: Call, dtype: torch.dtype, order: int, device: Device
) -> None:
    def ours(call: Call, dtype: torch.dtype, order: int, write: Write) -> Tensors:
        there = replace(call, operands=lambda t: tuple(map(device.tensor, call.operands(t))))
        with device.in_use():
            return tuple(t.cpu() for t in gradients(there, OURS, dtype, order, write))

    check_writes(call, dtype, order, ours, WAYS)

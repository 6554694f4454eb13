"""lstm_cell on CUDA: as near to float64 as native is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from cnnext.testing.cases import LSTMCellCase
from cnnext.testing.errors import measure
from cnnext.testing.specs.lstm_cell import EDGE_LSTM_CELLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import check_deterministic
from tests.ops import problems
from tests.ops.support import Problem, Tensors

PLAIN = LSTMCellCase("plain", 3, 5, 4)
SEVERAL_BLOCKS = LSTMCellCase("several_blocks", 9, 3, 65)
#: Of an empty batch there is nothing to compute, and ATen is asked.
CASES = (*(case for case in EDGE_LSTM_CELLS if case.batch > 0), SEVERAL_BLOCKS)


def check_near(device: Device, problem: Problem, dtype: torch.dtype) -> None:
    """Twice native's error, and four roundings of the largest value."""
    problem = problem.to(dtype)
    for ours, natives, references in (
        (device.outputs(problem), problem.native_outputs, problem.reference_outputs),
        (device.gradients(problem), problem.native_gradients, problem.reference_gradients),
    ):
        for result, native, reference in zip(ours, natives, references, strict=True):
            assert result.dtype == dtype
            slack = 4 * torch.finfo(dtype).eps * reference.abs().max().item()
            assert measure(result, reference).max <= 2 * measure(native, reference).max + slack


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cell(case: LSTMCellCase, dtype: torch.dtype, bias: bool, device: Device) -> None:
    check_near(device, problems.lstm_cell(case, bias=bias), dtype)


@pytest.mark.parametrize("scale", (30.0, 1e4), ids=("saturated", "huge"))
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_gates_far_from_one(dtype: torch.dtype, scale: float, device: Device) -> None:
    check_near(device, problems.lstm_cell(PLAIN).mapped(lambda t: t * scale), dtype)


@pytest.mark.parametrize("output", (0, 1), ids=("h", "c"))
def test_gradient_of_one_output(output: int, device: Device) -> None:
    problem = problems.lstm_cell(PLAIN)

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        return (problem.apply(library, values)[output],)

    check_near(device, Problem(apply, problem.operands), torch.float32)


def test_same_bits_twice(device: Device) -> None:
    check_deterministic(device, problems.lstm_cell(SEVERAL_BLOCKS))


def test_autocast_around_the_operator(device: Device) -> None:
    """Products stay in the dtype of the operands, which the kernels take them for."""
    operands = [device.tensor(t) for t in problems.lstm_cell(PLAIN).operands]
    forward = device.operators().lstm_cell_forward
    expected = forward(*operands)
    with torch.autocast(operands[0].device.type, dtype=torch.bfloat16):
        results = forward(*operands)
    for ours, reference in zip(results, expected, strict=True):
        assert torch.equal(ours, reference)

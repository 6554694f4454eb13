"""lstm_cell on CUDA, beside what test_operators.py shows: biases, saturated gates, autocast."""

from __future__ import annotations

import pytest
import torch

from cnnext.testing.cases import LSTMCellCase
from cnnext.testing.specs.lstm_cell import EDGE_LSTM_CELLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import check_near
from tests.ops import problems
from tests.ops.specs import BY_NAME

LSTM_CELL = BY_NAME["lstm_cell"]
(PLAIN,) = LSTM_CELL.typical_cases


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [c for c in EDGE_LSTM_CELLS if c.batch > 0], ids=str)
def test_without_bias(case: LSTMCellCase, dtype: torch.dtype, device: Device) -> None:
    problem = LSTM_CELL.without_bias(problems.lstm_cell(case))
    check_near(device, problem, dtype)


@pytest.mark.parametrize("scale", (30.0, 1e4), ids=("saturated", "huge"))
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_gates_far_from_one(dtype: torch.dtype, scale: float, device: Device) -> None:
    check_near(device, problems.lstm_cell(PLAIN).mapped(lambda t: t * scale), dtype)


@pytest.mark.parametrize("output", (0, 1), ids=("h", "c"))
def test_gradient_of_one_output(output: int, device: Device) -> None:
    check_near(device, problems.lstm_cell(PLAIN).only(output), torch.float32)


def test_autocast_around_the_operator(device: Device) -> None:
    """Products stay in the dtype of the operands, which the kernels take them for."""
    operands = [device.tensor(t) for t in problems.lstm_cell(PLAIN).operands]
    forward = device.operators().lstm_cell_forward
    expected = forward(*operands)
    with torch.autocast(operands[0].device.type, dtype=torch.bfloat16):
        results = forward(*operands)
    for ours, reference in zip(results, expected, strict=True):
        assert torch.equal(ours, reference)

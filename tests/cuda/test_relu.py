"""relu on CUDA: equal to native in every bit, in and out of place."""

from __future__ import annotations

import pytest
import torch

from cnnext.testing.cases import ReluCase
from cnnext.testing.specs.relu import SPEC
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import assert_same
from tests.ops import problems
from tests.ops.support import CNNEXT, VIEWS, Problem, order_in_memory
from tests.ops.test_relu import IMAGE, with_special_values


def check_equal(device: Device, problem: Problem) -> None:
    for ours, natives in (
        (device.outputs(problem), problem.native_outputs),
        (device.gradients(problem), problem.native_gradients),
    ):
        assert_same(ours[0], natives[0])
        assert order_in_memory(ours[0]) == order_in_memory(natives[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", (*SPEC.edge_cases, *SPEC.gpu_cases), ids=str)
def test_special_values(case: ReluCase, dtype: torch.dtype, device: Device) -> None:
    check_equal(device, with_special_values(problems.relu(case, dtype=dtype)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memory_that_is_not_aligned(dtype: torch.dtype, device: Device) -> None:
    check_equal(device, problems.relu(IMAGE, dtype=dtype).mapped(VIEWS["offset"]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("moved", (0, 1), ids=("grad_output", "output"))
def test_backward_of_memory_that_is_not_aligned(
    moved: int, dtype: torch.dtype, device: Device
) -> None:
    cases = (IMAGE, ReluCase("another_image", IMAGE.shape))
    operands = [problems.relu(case, dtype=dtype).operands[0] for case in cases]
    operands[moved] = VIEWS["offset"](operands[moved])
    ours = device.operators().relu_backward(*map(device.tensor, operands))
    assert_same(ours.cpu(), torch.ops.aten.threshold_backward(*operands, 0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place(dtype: torch.dtype, device: Device) -> None:
    (image,) = with_special_values(problems.relu(IMAGE, dtype=dtype)).operands
    expected = torch.relu(image)
    ours = device.tensor(image.clone())
    with device.in_use(), torch.no_grad():
        assert CNNEXT.relu(ours, inplace=True) is ours
    assert_same(ours.cpu(), expected)

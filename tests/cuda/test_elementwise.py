"""Element-wise operators on CUDA: as native in every bit, in and out of place, in any memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import assert_same, passes
from tests.ops.problems import with_special_values
from tests.ops.specs import ELEMENTWISE, Spec, each
from tests.ops.support import CNNEXT, NATIVE, VIEWS, Problem, order_in_memory

EXACT = [spec for spec in ELEMENTWISE if spec.exact]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def check_equal(device: Device, problem: Problem) -> None:
    for ours, natives, _ in passes(device, problem):
        assert_same(ours[0], natives[0])
        assert order_in_memory(ours[0]) == order_in_memory(natives[0])


@each_dtype
@pytest.mark.parametrize(
    ("spec", "case"),
    [
        pytest.param(spec, case, id=f"{spec.name}-{case}")
        for spec in EXACT
        for case in (*spec.edge_cases, *spec.gpu_cases)
    ],
)
def test_special_values(spec: Spec, case: Any, dtype: torch.dtype, device: Device) -> None:
    check_equal(device, with_special_values(spec.problem(case, dtype=dtype)))


@each_dtype
@each(EXACT)
def test_memory_that_is_not_aligned(spec: Spec, dtype: torch.dtype, device: Device) -> None:
    problem = spec.problem(spec.typical_cases[0], dtype=dtype)
    check_equal(device, problem.mapped(VIEWS["offset"]))


@each_dtype
@pytest.mark.parametrize("moved", (0, 1), ids=("grad_output", "saved"))
@each(ELEMENTWISE)
def test_backward_of_memory_that_is_not_aligned(
    spec: Spec, moved: int, dtype: torch.dtype, device: Device
) -> None:
    case, kinds = spec.typical_cases[0], ("normal", "uniform")
    tensors = [spec.problem(case, kind, dtype).operands[0] for kind in kinds]
    backward, numbers = getattr(device.operators(), f"{spec.name}_backward"), case.kwargs().values()
    aligned = backward(*map(device.tensor, tensors), *numbers)
    tensors[moved] = VIEWS["offset"](tensors[moved])
    assert_same(backward(*map(device.tensor, tensors), *numbers), aligned)


@each_dtype
@each([spec for spec in EXACT if spec.in_place])
def test_in_place(spec: Spec, dtype: torch.dtype, device: Device) -> None:
    problem = spec.problem(spec.typical_cases[0], dtype=dtype)
    (image,) = with_special_values(problem).operands
    expected = spec.call(NATIVE, image)
    ours = device.tensor(image.clone())
    with device.in_use(), torch.no_grad():
        assert spec.apply(CNNEXT, (ours,), *spec.options, inplace=True) is ours
    assert_same(ours.cpu(), expected)

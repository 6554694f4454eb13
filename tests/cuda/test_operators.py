"""Every operator with CUDA kernels, on its edge cases and more: exact, or as near as can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnnext.testing.spec import OperatorSpec
from cnnext.testing.specs import MEASURED
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import check_deterministic, check_exact, check_near, check_rounding
from tests.ops import problems
from tests.ops.support import LAYOUTS, VIEWS_4D, Problem

OPERATORS = {
    name: spec
    for name, spec in MEASURED.items()
    if spec.operator.cuda is not None and spec.operator.cuda.has_kernels
}


def layouts_of(spec: OperatorSpec) -> tuple[str, ...]:
    return tuple(LAYOUTS) if spec.in_layouts else ("nchw",)


def check(op: str, case: Any, device: Device, problem: Problem, dtype: torch.dtype) -> None:
    """Sums of integers are exact; averages and other results have bounded errors."""
    results = OPERATORS[op].results
    if results == "computed":
        check_near(device, problem, dtype)
    elif results == "averages":
        check_rounding(device, problem, dtype, case.terms)
    else:
        check_exact(device, problem, dtype)


@pytest.mark.parametrize(
    ("op", "case", "layout"),
    [
        pytest.param(op, case, layout, id=f"{op}-{case}-{layout}")
        for op, spec in OPERATORS.items()
        for case in (*spec.edge_cases, *spec.gpu_cases)
        # An empty batch leaves nothing to compute, and goes to ATen.
        if spec.results != "computed" or case.input_shape[0] > 0
        for layout in layouts_of(spec)
    ],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cases(op: str, case: Any, layout: str, dtype: torch.dtype, device: Device) -> None:
    check(op, case, device, problems.of(op, case).in_layout(layout), dtype)


@pytest.mark.parametrize("view", VIEWS_4D)
@pytest.mark.parametrize(
    "op", [op for op, spec in OPERATORS.items() if len(spec.gpu_cases[0].input_shape) == 4]
)
def test_views(op: str, view: str, device: Device) -> None:
    case = OPERATORS[op].gpu_cases[0]
    problem = problems.of(op, case).mapped_images(VIEWS_4D[view])
    check(op, case, device, problem, torch.float32)


@pytest.mark.parametrize(
    ("op", "layout"),
    [(op, layout) for op, spec in OPERATORS.items() for layout in layouts_of(spec)],
)
def test_same_bits_twice(op: str, layout: str, device: Device) -> None:
    for case in OPERATORS[op].gpu_cases:
        check_deterministic(device, problems.of(op, case).in_layout(layout))


def test_unknown_dtype(device: Device) -> None:
    message = "take float32, float64, float16 and bfloat16, but the operands have dtype Int"
    integers = device.tensor(torch.ones(3, dtype=torch.int32))
    with pytest.raises(RuntimeError, match=message):
        device.operators().relu_forward(integers)

"""Element-wise operators: tensors of any shape, special values, kernels by name.

The in-place form has a file of its own, and so has what goes to native PyTorch in silence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.ops.graphs import FAKE_CHECK, check_op
from tests.ops.problems import with_special_values
from tests.ops.specs import ELEMENTWISE, Spec, each, each_case
from tests.ops.support import (
    DTYPES,
    VIEWS,
    VIEWS_4D,
    Problem,
    check_derivatives,
    dtype_of,
    kernel_cases,
    only_kernel,
)

each_elementwise = each(ELEMENTWISE)
each_edge_case = each_case("edge_cases", *(spec.name for spec in ELEMENTWISE))

SHAPES = ((), (0,), (7,), (2, 0, 3), (1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 4, 2, 3))
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def of_shape(spec: Spec, shape: tuple[int, ...], **options: Any) -> Problem:
    """The operator as it is ordinarily called, on a tensor of this shape."""
    return spec.problem(replace(spec.typical_cases[0], name=str(shape), shape=shape), **options)


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@each_edge_case
def test_special_values(spec: Spec, case: Any, dtype: torch.dtype) -> None:
    spec.check(with_special_values(spec.problem(case, dtype=dtype)))


@pytest.mark.parametrize(
    ("spec", "kernel", "case"),
    [
        pytest.param(spec, *param.values, id=param.id, marks=param.marks)
        for spec in ELEMENTWISE
        for direction in ("forward", "bwd_input")
        for param in kernel_cases(spec.name, direction, spec.edge_cases)
    ],
)
def test_special_values_by_kernel(spec: Spec, kernel: str, case: Any) -> None:
    problem = with_special_values(spec.problem(case, dtype=dtype_of(kernel)))
    with only_kernel(spec.name, kernel):
        spec.check(problem)


@each_elementwise
def test_special_gradients(spec: Spec) -> None:
    problem = spec.problem(spec.typical_cases[0])
    (special,) = with_special_values(problem).operands
    spec.check(replace(problem, seed=lambda _: special))


@each_shape
@each_elementwise
def test_any_shape(spec: Spec, shape: tuple[int, ...]) -> None:
    spec.check(of_shape(spec, shape))


# ---------------------------------------------------------------------- derivatives and graphs


@pytest.mark.parametrize("shape", ((), (5,)), ids=str)
@each_elementwise
def test_derivatives(spec: Spec, shape: tuple[int, ...]) -> None:
    check_derivatives(of_shape(spec, shape, dtype=torch.float64).mapped(spec.smooth))


@each_shape
@each_elementwise
def test_strides_of_fake_tensors(spec: Spec, shape: tuple[int, ...]) -> None:
    (image,) = of_shape(spec, shape).operands
    views = VIEWS_4D if image.dim() == 4 else VIEWS if image.dim() > 0 else {"dense": torch.clone}
    for view in views.values():
        for name, arguments in spec.raw_calls(spec.typical_cases[0], (view(image),)):
            check_op(name, *arguments, checks=FAKE_CHECK)


@each([spec for spec in ELEMENTWISE if spec.in_place])
def test_opcheck_in_place(spec: Spec) -> None:
    case = spec.typical_cases[0]
    check_op(f"{spec.name}_", *spec.problem(case).operands, *case.kwargs().values())

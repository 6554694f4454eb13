"""linear: inputs of any number of dimensions."""

from __future__ import annotations

import pytest
import torch

from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.graphs import FAKE_CHECK, check_op
from tests.ops.specs import BY_NAME
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    VIEWS,
    Problem,
    check_derivatives,
    check_everything,
    generator_for,
)

LINEAR = BY_NAME["linear"]
PLAIN = LINEAR.typical_cases[0]


def problem_of(shape: tuple[int, ...], bias: bool = True) -> Problem:
    """The ordinary case on another input of as many features."""
    image = make_input("normal", shape, generator_for("linear", shape))
    _, weight, vector = LINEAR.problem(PLAIN).operands
    operands = (image, weight, vector if bias else None)
    return Problem(lambda library, v: (library.linear(*v),), operands)


@pytest.mark.parametrize(
    "leading",
    ((), (1,), (5,), (2, 3), (2, 1, 3), (3, 2, 2, 2), (0,), (2, 0, 3), (2, 3, 5)),
    ids=str,
)
def test_leading_dimensions(leading: tuple[int, ...]) -> None:
    problem = problem_of((*leading, 7))
    for layout in LAYOUTS:
        check_everything(problem.in_layout(layout))
    check_everything(problem_of((*leading, 7), bias=False))
    if 0 in leading:
        gradient = problem.gradients(CNNEXT, 1)[0]
        assert_bitwise_equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("shape", ((7,), (2, 7), (2, 2, 7)), ids=str)
def test_derivatives(shape: tuple[int, ...], bias: bool) -> None:
    check_derivatives(problem_of(shape, bias))


@pytest.mark.parametrize("shape", ((7,), (1, 7), (4, 7), (2, 3, 7), (2, 1, 3, 7), (0, 7)), ids=str)
def test_strides_of_fake_tensors(shape: tuple[int, ...]) -> None:
    for view in VIEWS.values():
        problem = problem_of(shape, bias=False).mapped(view)
        for name, arguments in LINEAR.raw_calls(PLAIN, problem.operands):
            check_op(name, *arguments, checks=FAKE_CHECK)

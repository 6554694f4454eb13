"""relu: equal to native in every bit; the in-place form has a file of its own."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cnnext.testing.cases import ElementwiseCase
from cnnext.testing.errors import assert_bitwise_equal, make_input
from cnnext.testing.specs.relu import SPEC
from tests.ops import problems
from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.graphs import (
    FAKE_CHECK,
    check_op,
)
from tests.ops.specs import BY_NAME
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    VIEWS,
    VIEWS_4D,
    Problem,
    check_derivatives,
    check_exact,
)

RELU = BY_NAME["relu"]
IMAGE = RELU.typical_cases[0]
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0)


def with_special_values(problem: Problem) -> Problem:
    """Their places vary, so that each meets every lane of a vector."""
    values = itertools.cycle(SPECIAL)

    def sprinkled(t: Tensor) -> Tensor:
        flat = t.clone().flatten()
        for place in range(0, flat.numel(), 3):
            flat[place] = next(values)
        return flat.view(t.shape)

    return problem.mapped(sprinkled)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SPEC.edge_cases, ids=str)
def test_special_values(case: ElementwiseCase, dtype: torch.dtype) -> None:
    check_exact(with_special_values(problems.relu(case, dtype=dtype)))


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


def test_special_gradients_pass_or_stop() -> None:
    problem = problems.relu(IMAGE)
    (special,) = with_special_values(problem).operands
    check_exact(replace(problem, seed=lambda _: special))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("shape", ((), (5,)), ids=str)
def test_derivatives(shape: tuple[int, ...], generator: torch.Generator) -> None:
    values = make_input("normal", shape, generator, torch.float64)
    away_from_zero = values + values.sign()  # where a difference quotient sees the kink
    check_derivatives(Problem(lambda library, v: (library.relu(v[0]),), (away_from_zero,)))


SHAPES = ((), (0,), (7,), (2, 0, 3), (1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 4, 2, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_strides_of_fake_tensors(shape: tuple[int, ...], generator: torch.Generator) -> None:
    image = make_input("normal", shape, generator)
    views = VIEWS_4D if image.dim() == 4 else VIEWS if image.dim() > 0 else {"dense": torch.clone}
    for view in views.values():
        for name, arguments in RELU.raw_calls(IMAGE, (view(image),)):
            check_op(name, *arguments, checks=FAKE_CHECK)


def test_opcheck_in_place(generator: torch.Generator) -> None:
    check_op("relu_", make_input("normal", IMAGE.shape, generator))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_dimensions(shape: tuple[int, ...]) -> None:
    check_exact(problems.relu(ElementwiseCase(str(shape), shape)))


# ------------------------------------------------------------------------------------- errors


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("inplace", (False, True), ids=("out_of_place", "in_place"))
@pytest.mark.parametrize(
    ("bad", "mentioned"),
    (
        (None, "input"),
        ([1.0], "input"),
        (1.0, "input"),
        (torch.tensor([True]), "Boolean"),
        (torch.tensor([1j]), "complex"),
    ),
    ids=("none", "list", "number", "bool", "complex"),
)
def test_bad_input(bad: object, mentioned: str, inplace: bool) -> None:
    check_error("relu", {"input": bad, "inplace": inplace}, mentioned)


def test_input_is_required() -> None:
    check_error("relu", {}, "input")


@pytest.mark.parametrize(
    ("name", "arguments", "mentioned"),
    (
        ("relu_forward", (torch.ones(3).half(),), "float32"),
        ("relu_", (torch.ones(3).half(),), "float32"),
        ("relu_", (torch.ones(4, 4)[:, ::2],), "dense"),
        ("relu_backward", (torch.ones(3), torch.ones(4)), "grad_output"),
        ("relu_backward", (torch.ones(3), torch.ones(3).double()), "output"),
    ),
)
def test_operators(name: str, arguments: tuple[Tensor, ...], mentioned: str) -> None:
    check_operator_error(name, arguments, mentioned)

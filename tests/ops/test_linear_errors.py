"""linear: bad operands raise what torch.nn.functional raises, in words that name them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.support import CNNEXT, NATIVE

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject

ROWS, WEIGHT, BIAS = torch.ones(3, 6), torch.ones(4, 6), torch.ones(4)

#: One argument at a time is made invalid by tests/upstream_suites/test_adversarial_inputs.py.
OPERANDS: dict[str, tuple[dict[str, Any], str]] = {
    "input_columns": ({"input": ROWS[:, :5]}, "input.shape=[3, 5]"),
    "input_vector_columns": ({"input": ROWS[0, :5]}, "input.shape=[5]"),
    "input_empty_columns": ({"input": torch.ones(0, 5)}, "(0x5 and 6x4)"),
    "input_double": ({"input": ROWS.double()}, "input.dtype=torch.float64"),
    "weight_double": ({"weight": WEIGHT.double()}, "weight.dtype=torch.float64"),
    "bias_long": ({"bias": torch.ones(5)}, "bias.shape=[5]"),
    "bias_double": ({"bias": BIAS.double()}, "bias.dtype=torch.float64"),
    "unknown_option": ({"out": 1}, ""),
}


@pytest.mark.parametrize("bad", OPERANDS)
def test_bad_operands(bad: str) -> None:
    changes, mentioned = OPERANDS[bad]
    check_error("linear", {"input": ROWS, "weight": WEIGHT, "bias": BIAS, **changes}, mentioned)


def test_operands_are_required() -> None:
    check_error("linear", {})
    check_error("linear", {"input": ROWS}, "weight")


@pytest.mark.parametrize("shape", ((), (1,), (3, 4), (1, 4), (3, 1)), ids=str)
def test_broadcast_biases_are_natives(shape: tuple[int, ...], fallbacks: list[str]) -> None:
    bias = torch.ones(shape)
    torch.testing.assert_close(
        CNNEXT.linear(ROWS, WEIGHT, bias), NATIVE.linear(ROWS, WEIGHT, bias), rtol=0, atol=0
    )
    assert len(fallbacks) == 1 and "bias" in fallbacks[0]


def test_a_vector_as_weight_is_natives(fallbacks: list[str]) -> None:
    torch.testing.assert_close(
        CNNEXT.linear(ROWS, WEIGHT[0]), NATIVE.linear(ROWS, WEIGHT[0]), rtol=0, atol=0
    )
    assert len(fallbacks) == 1 and "weight" in fallbacks[0]


# ------------------------------------------------------------------------- the bare operators

GRADIENT = torch.ones(3, 4)

OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_columns": ("linear_forward", (ROWS[:, :5], WEIGHT, None), "input"),
    "input_0d": ("linear_forward", (torch.tensor(1.0), WEIGHT, None), "input"),
    "weight_1d": ("linear_forward", (ROWS, WEIGHT[0], None), "weight"),
    "weight_double": ("linear_forward", (ROWS, WEIGHT.double(), None), "weight"),
    "weight_empty": ("linear_forward", (ROWS[:, :0], WEIGHT[:, :0], None), "weight"),
    "bias_short": ("linear_forward", (ROWS, WEIGHT, BIAS[:3]), "bias"),
    "bias_double": ("linear_forward", (ROWS, WEIGHT, BIAS.double()), "bias"),
    "half": ("linear_forward", (ROWS.half(), WEIGHT.half(), None), "float32"),
    "with_autograd": ("linear", (ROWS[:, :5], WEIGHT, None), "input"),
    "gradient_columns": ("linear_backward_input", (GRADIENT[:, :3], WEIGHT), "grad_output"),
    "gradient_double": ("linear_backward_input", (GRADIENT.double(), WEIGHT), "weight"),
    "rows": ("linear_backward_weight", (GRADIENT, ROWS[:2]), "grad_output"),
    "dimensions": ("linear_backward_weight", (GRADIENT, ROWS[None]), "dimensions"),
    "input_double": ("linear_backward_weight", (GRADIENT, ROWS.double()), "input"),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)

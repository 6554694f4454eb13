"""LSTMCell: its states, and bad arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.calls import operands_of
from tests.ops.support import CNNEXT, DTYPES, NATIVE, assert_agrees

BATCH, INPUT, HIDDEN = 3, 5, 4


def cells(dtype: torch.dtype = torch.float32) -> tuple[nn.LSTMCell, nn.LSTMCell, nn.LSTMCell]:
    """Ours, native, and native in float64, with the same weights."""
    native = nn.LSTMCell(INPUT, HIDDEN, dtype=dtype)
    ours = cnnext.LSTMCell(INPUT, HIDDEN, dtype=dtype)
    double = nn.LSTMCell(INPUT, HIDDEN, dtype=torch.float64)
    for cell in (ours, double):
        cell.load_state_dict(native.state_dict())
    return ours, native, double


def check_cell(dtype: torch.dtype, *values: Any) -> None:
    ours, native, double = cells(dtype)
    doubles = torch.utils._pytree.tree_map(
        lambda v: v.double() if isinstance(v, Tensor) else v, values
    )
    answers = zip(ours(*values), native(*values), double(*doubles), strict=True)
    for result, expected, reference in answers:
        assert result.shape == expected.shape
        assert_agrees(result, expected, reference, what="state")


# -------------------------------------------------------------------------------------- states


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", ((BATCH,), (1,), (0,), ()), ids=("batch", "one", "empty", "none"))
def test_states(rows: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> None:
    """Batched or not, with states, without, and with None."""
    x = make_input("normal", (*rows, INPUT), generator, dtype)
    states = tuple(make_input("normal", (*rows, HIDDEN), generator, dtype) for _ in range(2))
    check_cell(dtype, x, states)
    check_cell(dtype, x, list(states))
    check_cell(dtype, x)
    check_cell(dtype, x, None)


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_hidden_size_zero(bias: bool) -> None:
    for states in (None, (torch.ones(2, 0), torch.ones(2, 0))):
        h, c = cnnext.LSTMCell(3, 0, bias=bias)(torch.ones(2, 3), states)
        assert h.shape == c.shape == (2, 0)


# ------------------------------------------------------------------------------- bad arguments


def x(*shape: int) -> Tensor:
    return torch.ones(shape)


BAD_CALLS: dict[str, tuple[Any, ...]] = {
    "input_0d": (x(),),
    "input_3d": (x(2, BATCH, INPUT),),
    "input_columns": (x(BATCH, INPUT + 1),),
    "input_vector_columns": (x(INPUT + 1),),
    "h_3d": (x(BATCH, INPUT), (x(1, BATCH, HIDDEN), x(BATCH, HIDDEN))),
    "c_3d": (x(BATCH, INPUT), (x(BATCH, HIDDEN), x(1, BATCH, HIDDEN))),
    "h_rows": (x(BATCH, INPUT), (x(2, HIDDEN), x(BATCH, HIDDEN))),
    "c_rows": (x(BATCH, INPUT), (x(BATCH, HIDDEN), x(2, HIDDEN))),
    "h_one_row": (x(BATCH, INPUT), (x(1, HIDDEN), x(BATCH, HIDDEN))),
    "c_one_row": (x(BATCH, INPUT), (x(BATCH, HIDDEN), x(1, HIDDEN))),
    "one_row_each": (x(BATCH, INPUT), (x(1, HIDDEN), x(1, HIDDEN))),
    "h_columns": (x(BATCH, INPUT), (x(BATCH, HIDDEN + 1), x(BATCH, HIDDEN))),
    "c_columns": (x(BATCH, INPUT), (x(BATCH, HIDDEN), x(BATCH, 1))),
    "h_vector_columns": (x(INPUT), (x(HIDDEN + 1), x(HIDDEN))),
    "c_vector_columns": (x(INPUT), (x(HIDDEN), x(1))),
    "h_double": (x(BATCH, INPUT), (x(BATCH, HIDDEN).double(), x(BATCH, HIDDEN))),
    "one_state": (x(BATCH, INPUT), (x(BATCH, HIDDEN),)),
    "three_states": (x(BATCH, INPUT), (x(BATCH, HIDDEN),) * 3),
    "a_state_alone": (x(BATCH, INPUT), x(BATCH, HIDDEN)),
    "a_number_as_state": (x(BATCH, INPUT), (1.0, 2.0)),
    "no_input": (None,),
}


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("bad", BAD_CALLS)
def test_bad_calls(bad: str) -> None:
    ours, native, _ = cells()
    with pytest.raises(Exception) as expected:  # noqa: PT011
        native(*BAD_CALLS[bad])
    with pytest.raises(Exception) as error:  # noqa: PT011
        ours(*BAD_CALLS[bad])
    assert error.type is expected.type, (error.value, expected.value)


@pytest.mark.parametrize(
    ("rows", "state_rows"), (((), (BATCH,)), ((), (1,)), ((BATCH,), ())), ids=str
)
def test_states_are_batched_as_the_input_is(
    rows: tuple[int, ...], state_rows: tuple[int, ...]
) -> None:
    """Native itself crashes on some of these."""
    ours, _, _ = cells()
    states = (x(*state_rows, HIDDEN), x(*state_rows, HIDDEN))
    with pytest.raises(RuntimeError, match=r"hx\[0\]"):
        ours(x(*rows, INPUT), states)


def test_states_of_the_function_may_be_a_list() -> None:
    x, h, c, *parameters = operands_of("lstm_cell")
    ours = CNNEXT.lstm_cell(x, [h, c], *parameters)
    for result, expected in zip(ours, CNNEXT.lstm_cell(x, (h, c), *parameters), strict=True):
        assert_bitwise_equal(result, expected)
    assert isinstance(ours, tuple) and isinstance(NATIVE.lstm_cell(x, [h, c], *parameters), tuple)

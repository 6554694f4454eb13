"""LSTMCell: its states, and bad arguments of the module and of the function."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.support import CNNEXT, DTYPES, NATIVE, assert_agrees, assert_same_sums

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


def test_states_of_a_sequence(generator: torch.Generator) -> None:
    ours, native, _ = cells()
    sequence = make_input("normal", (6, BATCH, INPUT), generator)
    results = []
    for cell in (ours, native):
        states = None
        for step in sequence:
            states = cell(step, states)
        assert states is not None
        loss = sum(state.square().sum() for state in states)
        results += [torch.autograd.grad(loss, tuple(cell.parameters()))]
    assert_same_sums(*results)


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_hidden_size_zero(bias: bool) -> None:
    for states in (None, (torch.ones(2, 0), torch.ones(2, 0))):
        h, c = cnnext.LSTMCell(3, 0, bias=bias)(torch.ones(2, 3), states)
        assert h.shape == c.shape == (2, 0)


# -------------------------------------------------------------------------- bad module arguments


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


# ------------------------------------------------------------------------ bad function arguments

GATES = 4 * HIDDEN
CALL: dict[str, Any] = {
    "input": x(BATCH, INPUT),
    "hx": (x(BATCH, HIDDEN), x(BATCH, HIDDEN)),
    "w_ih": x(GATES, INPUT),
    "w_hh": x(GATES, HIDDEN),
    "b_ih": x(GATES),
    "b_hh": x(GATES),
}

#: Tensors of other dtypes and ranks are given by tests/upstream_suites/test_adversarial_inputs.py.
BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "input_columns": ({"input": x(BATCH, 4)}, "input.shape=[3, 4]"),
    "hx_none": ({"hx": None}, "hx"),
    "hx_tensor": ({"hx": x(2, BATCH, HIDDEN)}, "hx"),
    "hx_one": ({"hx": (x(BATCH, HIDDEN),)}, "two"),
    "hx_three": ({"hx": (x(BATCH, HIDDEN),) * 3}, "two"),
    "hx_of_none": ({"hx": (None, x(BATCH, HIDDEN))}, ""),
    "h_one_row": ({"hx": (x(1, HIDDEN), x(BATCH, HIDDEN))}, "hx[0].shape=[1, 4]"),
    "c_one_row": ({"hx": (x(BATCH, HIDDEN), x(1, HIDDEN))}, "hx[1].shape=[1, 4]"),
    "h_columns": ({"hx": (x(BATCH, 5), x(BATCH, HIDDEN))}, "hx[0].shape=[3, 5]"),
    "c_columns": ({"hx": (x(BATCH, HIDDEN), x(BATCH, 1))}, "hx[1].shape=[3, 1]"),
    "h_double": ({"hx": (x(BATCH, HIDDEN).double(), x(BATCH, HIDDEN))}, "torch.float64"),
    "all_1d": ({"input": x(INPUT), "hx": (x(HIDDEN), x(HIDDEN))}, "input.shape=[5]"),
    "w_ih_rows": ({"w_ih": x(12, INPUT)}, "w_ih.shape=[12, 5]"),
    "w_ih_double": ({"w_ih": CALL["w_ih"].double()}, "w_ih.dtype=torch.float64"),
    "w_hh_columns": ({"w_hh": x(GATES, 3)}, "w_hh.shape=[16, 3]"),
    "b_ih_short": ({"b_ih": x(15)}, "b_ih.shape=[15]"),
    "b_hh_short": ({"b_hh": x(15)}, "b_hh.shape=[15]"),
    "b_hh_double": ({"b_hh": CALL["b_hh"].double()}, "b_hh.dtype=torch.float64"),
}


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
def test_bad_arguments(bad: str) -> None:
    changes, mentioned = BAD_ARGUMENTS[bad]
    check_error("lstm_cell", {**CALL, **changes}, mentioned)


@pytest.mark.usefixtures("fallbacks")
def test_arguments_are_required() -> None:
    check_error("lstm_cell", {})
    check_error("lstm_cell", {"input": CALL["input"]}, "hx")


def test_raises_where_native_may_crash() -> None:
    """States are vectors with one element for each row of the batch."""
    with pytest.raises(RuntimeError, match=r"hx\[0\].shape=\[4\]"):
        CNNEXT.lstm_cell(**{**CALL, "hx": (x(HIDDEN), x(HIDDEN))})


@pytest.mark.parametrize(
    "biases",
    (
        {"b_hh": None},
        {"b_ih": None},
        {"b_ih": x(1)},
        {"b_ih": x()},
        {"b_hh": x(1, GATES)},
        {"b_hh": x(BATCH, GATES)},
    ),
    ids=("b_ih_alone", "b_hh_alone", "one_element", "0d", "one_row", "matrix"),
)
def test_unusual_biases_are_natives(biases: dict[str, Any], fallbacks: list[str]) -> None:
    check_native({**CALL, **biases})
    assert len(fallbacks) == 1 and next(iter(biases)) in fallbacks[0]


def test_a_wider_cell_state_is_natives(fallbacks: list[str]) -> None:
    """Native happens to promote it, and nothing else."""
    check_native({**CALL, "hx": (x(BATCH, HIDDEN), x(BATCH, HIDDEN).double())})
    assert len(fallbacks) == 1 and "dtype" in fallbacks[0]


def check_native(call: dict[str, Any]) -> None:
    for ours, native in zip(CNNEXT.lstm_cell(**call), NATIVE.lstm_cell(**call), strict=True):
        assert_bitwise_equal(ours, native)


# ------------------------------------------------------------------------- the bare operators

OPERANDS = (CALL["input"], *CALL["hx"], CALL["w_ih"], CALL["w_hh"], CALL["b_ih"], CALL["b_hh"])


@pytest.mark.parametrize("name", ("lstm_cell", "lstm_cell_forward"))
@pytest.mark.parametrize("place", range(7))
def test_forward_operator(place: int, name: str) -> None:
    for change in (lambda t: t[:-1], lambda t: t[..., :-1], lambda t: t[None], torch.Tensor.double):
        operands = list(OPERANDS)
        operands[place] = change(operands[place])
        check_operator_error(name, tuple(operands))


def test_forward_operator_with_one_bias() -> None:
    check_operator_error("lstm_cell_forward", (*OPERANDS[:6], None), "b_ih and b_hh")


@pytest.mark.parametrize("place", range(4))
def test_backward_operator(place: int) -> None:
    state, gates = x(BATCH, HIDDEN), x(BATCH, GATES)
    for change in (lambda t: t[:-1], lambda t: t[..., :-1], lambda t: t[0], torch.Tensor.double):
        operands = [state, state, state, gates]
        operands[place] = change(operands[place])
        check_operator_error("lstm_cell_backward", tuple(operands))

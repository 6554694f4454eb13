"""lstm_cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import cnnext
from cnnext.testing.cases import VECTOR_SIZES, LSTMCellCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from cnnext.testing.specs.lstm_cell import EDGE_LSTM_CELLS, LSTM_CELLS
from tests.ops import problems
from tests.ops.graphs import (
    ALL_CHECKS,
    BACKENDS,
    BIAS_BY_INDUCTOR,
    FAKE_CHECK,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    NATIVE,
    VIEWS,
    Problem,
    Tensors,
    check_derivatives,
    check_deterministic,
    check_everything,
    check_sum_gradient,
    dtype_of,
    generator_for,
    kernel_cases,
    only_kernel,
    seed_gradient,
    use_threads,
)

INPUT, H, C, W_IH, W_HH, B_IH, B_HH = range(7)
OPERANDS = ("input", "h", "c", "w_ih", "w_hh", "b_ih", "b_hh")

SMALL = (*EDGE_LSTM_CELLS, *LSTM_CELLS[:2])
LARGE = LSTM_CELLS[2:]
PLAIN = LSTMCellCase("plain", 3, 5, 4)


def kinds(case: LSTMCellCase) -> Any:
    return INPUT_KINDS if case in SMALL else ("normal",)


# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("lstm_cell", "forward", SMALL, LARGE))
def test_forward(kernel: str, case: LSTMCellCase) -> None:
    for kind in kinds(case):
        problem = problems.cached(problems.lstm_cell, case, kind, "nchw", dtype_of(kernel))
        with only_kernel("lstm_cell", kernel), use_threads(3):
            ours = problem.outputs(CNNEXT)
        problem.check_outputs(ours, what=f"{kind} output")


@pytest.mark.parametrize("scale", (1e-4, 30.0, 1e4), ids=("tiny", "saturated", "huge"))
@pytest.mark.parametrize(("kernel", "case"), kernel_cases("lstm_cell", "forward", (PLAIN,)))
def test_gates_far_from_one(kernel: str, case: LSTMCellCase, scale: float) -> None:
    """Where exp overflows or the gates are flat."""
    problem = problems.lstm_cell(case, dtype=dtype_of(kernel)).mapped(lambda t: t * scale)
    with only_kernel("lstm_cell", kernel):
        ours = problem.outputs(CNNEXT)
    problem.check_outputs(ours)


@pytest.mark.parametrize("value", (torch.inf, -torch.inf, torch.nan), ids=str)
@pytest.mark.parametrize("place", range(7), ids=OPERANDS)
def test_infinities_and_nans(place: int, value: float) -> None:
    problem = problems.lstm_cell(PLAIN)
    operand = problem.operands[place]
    operand[-1] = value
    problem.check_outputs(problem.outputs(CNNEXT))


@pytest.mark.parametrize("case", EDGE_LSTM_CELLS, ids=str)
def test_without_bias(case: LSTMCellCase) -> None:
    check_everything(problems.lstm_cell(case, bias=False))


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("lstm_cell", "backward", SMALL, LARGE))
def test_backward(kernel: str, case: LSTMCellCase) -> None:
    for kind in kinds(case):
        problem = problems.cached(problems.lstm_cell, case, kind, "nchw", dtype_of(kernel))
        with only_kernel("lstm_cell", kernel), use_threads(3):
            ours = problem.gradients(CNNEXT)
        problem.check_gradients(ours, what=f"{kind} gradient")


@pytest.mark.parametrize("place", range(7), ids=OPERANDS)
def test_backward_computes_what_is_wanted(place: int) -> None:
    problem = problems.lstm_cell(PLAIN)
    problem.check_gradients(problem.gradients(CNNEXT, place), place)


@pytest.mark.parametrize("output", (0, 1), ids=("h", "c"))
@pytest.mark.parametrize("case", (PLAIN, LSTM_CELLS[1]), ids=str)
def test_gradient_of_one_output(case: LSTMCellCase, output: int) -> None:
    """The other output's gradient is missing, not zero."""
    problem = problems.lstm_cell(case)

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        return (problem.apply(library, values)[output],)

    one = Problem(apply, problem.operands)
    one.check_gradients(one.gradients(CNNEXT))


def test_gradient_of_neither_output() -> None:
    leaves = problems.lstm_cell(PLAIN).leaves(*range(7))
    h, c = CNNEXT.lstm_cell(leaves[0], (leaves[1], leaves[2]), *leaves[3:])
    other = leaves[0].sum() + (h.detach() + c.detach()).sum()
    other.backward()
    assert leaves[H].grad is None


def test_gradient_through_time() -> None:
    """Five steps: the states' gradients add up."""
    _, h0, c0, *parameters = problems.lstm_cell(PLAIN).operands
    sequence = make_input("normal", (5, 3, 5), generator_for("sequence"))

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        steps, h, c, *weights = values
        for step in steps.unbind(0):
            h, c = library.lstm_cell(step, (h, c), *weights)
        return h, c

    check_everything(Problem(apply, (sequence, h0, c0, *parameters)))


@pytest.mark.parametrize("case", EDGE_LSTM_CELLS, ids=str)
def test_gradient_of_a_sum(case: LSTMCellCase) -> None:
    check_sum_gradient(problems.lstm_cell(case))


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_derivatives(bias: bool) -> None:
    check_derivatives(problems.lstm_cell(LSTMCellCase("tiny", 2, 3, 2), bias=bias))


# ------------------------------------------------------------------------------------ opcheck


def check_all_ops(problem: Problem, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    operands = problem.operands
    check_op("lstm_cell_forward", *operands, checks=checks)
    h, c, gates = torch.ops.cnnext.lstm_cell_forward(*operands)
    grad_h, grad_c = seed_gradient(h), seed_gradient(c)
    for gradients in ((grad_h, grad_c), (grad_h, None), (None, grad_c)):
        check_op("lstm_cell_backward", *gradients, operands[C], gates, checks=checks)
    check_op("lstm_cell", *problem.leaves(*problem.places), checks=checks)


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_opcheck(bias: bool) -> None:
    check_all_ops(problems.lstm_cell(PLAIN, bias=bias))


@pytest.mark.parametrize("case", (PLAIN, LSTMCellCase("one", 1, 1, 1)), ids=str)
def test_strides_of_fake_tensors(case: LSTMCellCase) -> None:
    for view in VIEWS.values():
        check_all_ops(problems.lstm_cell(case).mapped(view), FAKE_CHECK)


# ---------------------------------------------------------------------------- compile, export


@pytest.mark.parametrize("bias", BIAS_BY_INDUCTOR)
def test_compile_by_inductor(bias: bool) -> None:
    check_compiled("lstm_cell", problems.lstm_cell(PLAIN, bias=bias), "inductor")


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
def test_compile(bias: bool, backend: str) -> None:
    check_compiled("lstm_cell", problems.lstm_cell(PLAIN, bias=bias), backend)


def test_compile_with_dynamic_batch() -> None:
    check_dynamic_batch("lstm_cell", lambda batch: problems.lstm_cell(PLAIN.with_batch(batch)))


@pytest.mark.parametrize("states", (True, False), ids=("states", "no_states"))
def test_export(states: bool) -> None:
    def inputs(batch: int) -> tuple[Any, ...]:
        x, h, c, *_ = problems.lstm_cell(PLAIN.with_batch(batch)).operands
        return (x, (h, c)) if states else (x,)

    check_exported("lstm_cell", cnnext.LSTMCell(5, 4), inputs)


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS)
def test_views(view: str, dtype: torch.dtype) -> None:
    check_everything(problems.lstm_cell(PLAIN, dtype=dtype).mapped(VIEWS[view]))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("place", range(7), ids=OPERANDS)
def test_one_view(place: int, view: str) -> None:
    problem = problems.lstm_cell(PLAIN)
    operands = list(problem.operands)
    operand = operands[place]
    operands[place] = VIEWS[view](operand)
    check_everything(replace(problem, operands=tuple(operands)))


def test_expanded_operands() -> None:
    check_everything(problems.lstm_cell(PLAIN).mapped(lambda t: t[:1].expand_as(t)))


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_the_gradients(view: str) -> None:
    problem = problems.lstm_cell(PLAIN)
    problem = replace(problem, seed=lambda output: VIEWS[view](seed_gradient(output)))
    problem.check_gradients(problem.gradients(CNNEXT))


def test_states_in_one_tensor() -> None:
    """A state of shape (2, B, H) unbound: h and c share memory, and h has an offset."""
    x, h, c, *parameters = problems.lstm_cell(PLAIN).operands
    c_view, h_view = torch.stack((c, h)).unbind(0)
    problem = replace(problems.lstm_cell(PLAIN), operands=(x, h_view, c_view, *parameters))
    check_everything(problem)


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_sizes_around_the_vectors(size: int) -> None:
    for batch, inputs, hidden in ((size, 3, 4), (2, size, 4), (2, 3, size), (size, size, size)):
        case = LSTMCellCase(f"{batch}_{inputs}_{hidden}", batch, inputs, hidden)
        check_everything(problems.lstm_cell(case).positive())


@pytest.mark.parametrize(
    "case",
    (
        LSTMCellCase("no_batch", 0, 3, 4),
        LSTMCellCase("no_input", 2, 0, 4),
        LSTMCellCase("no_hidden", 2, 3, 0),
    ),
    ids=str,
)
def test_sizes_of_zero(case: LSTMCellCase) -> None:
    for bias in (True, False):
        check_everything(problems.lstm_cell(case, bias=bias))


@given(
    # Sizes from 4 on: of a few sums, all could cancel to nearly zero.
    case=st.builds(
        LSTMCellCase, st.just("fuzz"), st.integers(0, 20), st.integers(4, 70), st.integers(4, 70)
    ),
    dtype=st.sampled_from(DTYPES),
    bias=st.booleans(),
)
def test_any_shape(case: LSTMCellCase, dtype: torch.dtype, bias: bool) -> None:
    check_everything(problems.lstm_cell(case, dtype=dtype, bias=bias))


@pytest.mark.parametrize("case", (PLAIN, *LARGE), ids=str)
def test_same_bits_twice(case: LSTMCellCase) -> None:
    check_deterministic(problems.lstm_cell(case))


def test_states_may_be_a_list() -> None:
    x, h, c, *parameters = problems.lstm_cell(PLAIN).operands
    ours = CNNEXT.lstm_cell(x, [h, c], *parameters)
    for result, expected in zip(ours, CNNEXT.lstm_cell(x, (h, c), *parameters), strict=True):
        assert_bitwise_equal(result, expected)
    assert isinstance(ours, tuple) and isinstance(NATIVE.lstm_cell(x, [h, c], *parameters), tuple)

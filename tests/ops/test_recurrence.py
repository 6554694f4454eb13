"""recurrence, one layer of an LSTM, a GRU or an RNN in one direction; and lstm_cell, one step.

tests/ops/test_every_*.py ask of them what they ask of every operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, combinations, product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cnnext.autograd import RecurrenceFunction
from cnnext.ops.recurrence import Cell, recurrence
from cnnext.testing.cases import VECTOR_SIZES, LSTMCellCase
from cnnext.testing.errors import assert_bitwise_equal, make_input
from cnnext.testing.recurrence_cases import EACH_WAY, PACKED, RecurrenceCase, of_every_cell, packed
from tests.ops.graphs import FAKE_CHECK, check_op
from tests.ops.specs import BY_NAME, Spec, each_case
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    VIEWS,
    Problem,
    Tensors,
    check_derivatives,
    check_everything,
    check_operator_error,
    dtype_of,
    generator_for,
    kernel_cases,
    only_kernel,
    seed_gradient,
)

LSTM_CELL, RECURRENCE = BY_NAME["lstm_cell"], BY_NAME["recurrence"]
#: An LSTM over sequences of equal lengths.
PLAIN = RECURRENCE.typical_cases[0]

H0, C0 = 1, 2  # the places of the first states among the operands


def of_cells(*cases: RecurrenceCase) -> Any:
    """Parameters: these cases with every cell."""
    return pytest.mark.parametrize("case", of_every_cell(*cases), ids=str)


def params(spec: Spec, *cases: Any) -> list[Any]:
    return [pytest.param(spec, case, id=f"{spec.name}-{case}") for case in cases]


each_way = pytest.mark.parametrize("case", EACH_WAY, ids=str)
each_typical_case = each_case("typical_cases", "lstm_cell", "recurrence")


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("scale", (1e-4, 30.0, 1e4), ids=("tiny", "saturated", "huge"))
@pytest.mark.parametrize(
    ("spec", "kernel", "case"),
    [
        pytest.param(spec, *param.values, id=param.id, marks=param.marks)
        for spec in (LSTM_CELL, RECURRENCE)
        for param in kernel_cases("recurrence", "forward", spec.typical_cases[:3])
    ],
)
def test_gates_far_from_one(spec: Spec, kernel: str, case: Any, scale: float) -> None:
    """Where exp overflows or the gates are flat."""
    problem = spec.problem(case, dtype=dtype_of(kernel)).mapped(lambda t: t * scale)
    with only_kernel("recurrence", kernel):
        ours = problem.outputs(CNNEXT)
    problem.check_outputs(ours)


@each_typical_case
def test_infinities_and_nans(spec: Spec, case: Any) -> None:
    problem = spec.problem(case)
    for place, value in product(problem.places, (torch.inf, -torch.inf, torch.nan)):

        def spoiled(t: Tensor, value: float = value) -> Tensor:
            return torch.cat((t[:-1], torch.full_like(t[-1:], value)))

        some = problem.mapped_at(place, spoiled)
        some.check_outputs(some.outputs(CNNEXT), what=f"{value} in operand {place}: output")


@of_cells(PLAIN)
def test_equal_lengths_as_batch_sizes(case: RecurrenceCase) -> None:
    """Equal batch sizes give the same bits as none, since all sequences then have all steps."""
    told = replace(case, sizes_of_steps=(case.batch,) * case.steps)
    operands = RECURRENCE.problem(case).operands
    both = (RECURRENCE.function(each)(CNNEXT, operands) for each in (case, told))
    for result, expected in zip(*both, strict=True):
        assert_bitwise_equal(result, expected)


# ---------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("spec", "case"), params(LSTM_CELL, *LSTM_CELL.typical_cases) + params(RECURRENCE, *EACH_WAY)
)
def test_gradient_of_some_outputs(spec: Spec, case: Any) -> None:
    """The other outputs' gradients are missing, not zero."""
    problem = spec.problem(case)
    outputs = range(len(problem.native_outputs))
    for kept in chain.from_iterable(combinations(outputs, n) for n in outputs[1:]):
        some = problem.only(*kept)
        some.check_gradients(some.gradients(CNNEXT), what=f"gradient of outputs {kept} for operand")


@each_typical_case
def test_gradient_of_no_output(spec: Spec, case: Any) -> None:
    problem = spec.problem(case)
    leaves = problem.leaves(*problem.places)
    outputs = problem.apply(CNNEXT, leaves)
    other = leaves[0].sum() + sum(output.detach().sum() for output in outputs)
    other.backward()
    assert leaves[H0].grad is None


@each_way
def test_gradient_through_calls(case: RecurrenceCase) -> None:
    """A second call goes on from the last states: their gradients add up."""
    once = RECURRENCE.problem(case)

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        x, h0, c0, *weights = values
        output, *states = once.apply(library, values)
        states = states if case.cell is Cell.LSTM else [*states, None]
        return (output, *once.apply(library, (x.flip(0), *states, *weights)))

    check_everything(Problem(apply, once.operands))


def test_gradient_through_steps_of_a_cell() -> None:
    """Five steps: the states' gradients add up."""
    _, h0, c0, *parameters = LSTM_CELL.problem(LSTM_CELL.typical_cases[0]).operands
    sequence = make_input("normal", (5, 3, 5), generator_for("sequence"))

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        steps, h, c, *weights = values
        for step in steps.unbind(0):
            h, c = library.lstm_cell(step, (h, c), *weights)
        return h, c

    check_everything(Problem(apply, (sequence, h0, c0, *parameters)))


@of_cells(RecurrenceCase("square", 2, 2, 2, 2))
def test_one_tensor_in_two_places(case: RecurrenceCase) -> None:
    """The gradients of both add up, also where they are differentiated again."""
    problem = RECURRENCE.problem(case, dtype=torch.float64)
    x, h0, c0, weight, _, bias, _ = problem.operands

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        x, h0, weight, bias = values
        c0 = h0 if case.cell is Cell.LSTM else None
        return problem.apply(library, (x, h0, c0, weight, weight, bias, bias))

    same = Problem(apply, (x, h0, weight, bias))
    check_everything(same)
    check_derivatives(same)


@of_cells(PLAIN)
def test_function_can_be_applied_directly(case: RecurrenceCase) -> None:
    problem = RECURRENCE.problem(case)
    leaves = problem.leaves(*problem.places)
    outputs = RecurrenceFunction.apply(case.cell, None, False, *leaves)
    for result, expected in zip(outputs, problem.apply(CNNEXT, leaves), strict=True):
        assert_bitwise_equal(result, expected)
        assert type(result.grad_fn).__name__ == "RecurrenceFunctionBackward"


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", PACKED, ids=str)
def test_views_of_packed_sequences(case: RecurrenceCase, view: str) -> None:
    for dtype in DTYPES:
        check_everything(RECURRENCE.problem(case, dtype=dtype).mapped(VIEWS[view]))
    problem = RECURRENCE.problem(case)
    problem = replace(problem, seed=lambda output: VIEWS[view](seed_gradient(output)))
    problem.check_gradients(problem.gradients(CNNEXT))


def test_view_of_the_batch_sizes() -> None:
    case = packed("sizes", (4, 3, 1), 5, 4)
    problem = RECURRENCE.problem(case)
    sizes = torch.tensor([4, 0, 3, 0, 1])[::2]
    x, h0, c0, *weights = problem.operands
    problem.check_outputs(recurrence(Cell.LSTM, x, (h0, c0), weights, sizes))


@each_typical_case
def test_states_in_one_tensor(spec: Spec, case: Any) -> None:
    """As the states of several layers are, unbound: they share memory, and have offsets."""
    problem = spec.problem(case)
    places = [place for place in (H0, C0) if place in problem.places]
    states = [problem.operands[place] for place in places]
    for place, view in zip(places, torch.stack((*states[:1], *states)).unbind(0)[1:], strict=True):
        problem = problem.mapped_at(place, lambda _, view=view: view)
    check_everything(problem)


@pytest.mark.parametrize("case", [case for case in PACKED if case.reverse], ids=str)
def test_opcheck_of_batch_sizes(case: RecurrenceCase) -> None:
    for name, arguments in RECURRENCE.raw_calls(case, RECURRENCE.problem(case).operands):
        check_op(name, *arguments, checks=("test_schema", *FAKE_CHECK))


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize(
    ("spec", "case"),
    [
        param
        for size in VECTOR_SIZES
        for sizes in ((size, 3, 4), (2, size, 4), (2, 3, size), (size, size, size))
        for name in ("_".join(map(str, sizes)),)
        for param in (
            *params(LSTM_CELL, LSTMCellCase(name, *sizes)),
            *params(RECURRENCE, *of_every_cell(RecurrenceCase(name, 2, *sizes))),
        )
    ],
)
def test_sizes_around_the_vectors(spec: Spec, case: Any) -> None:
    # Small: sums of positive values alone would leave no slope to any gate.
    check_everything(spec.problem(case).positive().mapped(lambda t: t / 4))


@of_cells(*(packed(f"stairs_{n}", tuple(range(n, 0, -1)), 4, 5) for n in VECTOR_SIZES))
def test_steps_that_lose_sequences(case: RecurrenceCase) -> None:
    """One at a time, from either end."""
    for either in (case, case.reversed()):
        check_everything(RECURRENCE.problem(either))


@of_cells(packed("packed", (4, 4, 2, 1, 1), 3, 0))
def test_no_units(case: RecurrenceCase) -> None:
    x = torch.ones(case.rows, 3, requires_grad=True)
    states = [torch.ones(case.batch, 0)] * (2 if case.cell is Cell.LSTM else 1)
    weights = (torch.ones(0, 3), torch.ones(0, 0), None, None)
    output, *lasts = recurrence(case.cell, x, states, weights, case.batch_sizes)
    assert output.shape == (case.rows, 0)
    assert all(last.shape == (case.batch, 0) for last in lasts)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


@given(
    cell=st.sampled_from(Cell),
    # Sizes from 4 on: of a few sums, all could cancel to nearly zero.
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    input=st.integers(4, 70),
    hidden=st.integers(4, 70),
    same_length=st.booleans(),
    reverse=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    bias=st.booleans(),
)
def test_any_shape(
    cell: Cell,
    sizes: list[int],
    input: int,
    hidden: int,
    same_length: bool,
    reverse: bool,
    dtype: torch.dtype,
    bias: bool,
) -> None:
    if same_length:
        case = RecurrenceCase("fuzz", len(sizes), sizes[0], input, hidden)
    else:
        case = packed("fuzz", tuple(sorted(sizes, reverse=True)), input, hidden)
    case = (case.reversed() if reverse else case).of(cell)
    problem = RECURRENCE.problem(case, dtype=dtype)
    check_everything(problem if bias else RECURRENCE.without_bias(problem))


# -------------------------------------------------------------------------- the raw operators


CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t[:-1],
    lambda t: t[..., :-1],
    lambda t: t[None],
    lambda t: t[0],
    torch.Tensor.double,
    torch.Tensor.long,
)


def changed(values: Sequence[Any], place: int, change: Callable[[Tensor], Any]) -> tuple[Any, ...]:
    """The values with that one changed."""
    return (*values[:place], change(values[place]), *values[place + 1 :])


def arguments_of(name: str, case: RecurrenceCase) -> tuple[Any, ...]:
    """What that raw operator is called with where all gradients are given."""
    return dict(RECURRENCE.raw_calls(case, RECURRENCE.problem(case).operands))[name]


# Nine rows are no steps of two sequences.
@pytest.mark.parametrize(
    ("spec", "case"),
    params(LSTM_CELL, *LSTM_CELL.typical_cases)
    + params(RECURRENCE, *of_every_cell(RecurrenceCase("rows", 3, 3, 5, 4))),
)
def test_misfits(spec: Spec, case: Any) -> None:
    for name, arguments in dict(spec.raw_calls(case, spec.problem(case).operands)).items():
        for place, argument in enumerate(arguments):
            # The RNN's workspace has no elements to miss.
            if isinstance(argument, Tensor) and argument.numel() > 0:
                for change in CHANGES:
                    check_operator_error(name, changed(arguments, place, change))


@pytest.mark.parametrize(("place", "name"), ((-2, "b_ih"), (-1, "b_hh")), ids=("b_ih", "b_hh"))
@each_typical_case
def test_one_bias(spec: Spec, case: Any, place: int, name: str) -> None:
    problem = spec.problem(case)
    operator = f"{spec.name}_forward"
    arguments = list(dict(spec.raw_calls(case, problem.operands))[operator])
    index = next(i for i, value in enumerate(arguments) if value is problem.operands[place])
    arguments[index] = None
    message = f"b_ih and b_hh must be given together, but {name} is None"
    check_operator_error(operator, tuple(arguments), message)


@of_cells(PLAIN)
def test_another_number_of_states(case: RecurrenceCase) -> None:
    arguments = arguments_of("recurrence_forward", case)
    if case.cell is Cell.LSTM:
        c0, message = None, "c0 must be given for LSTM, but is None"
    else:
        c0 = arguments[1 + H0]
        message = f"c0 is only valid for LSTM, but is given for cell {case.cell:d}"
    check_operator_error("recurrence_forward", changed(arguments, 1 + C0, lambda _: c0), message)


@pytest.mark.parametrize("cell", (-1, 4, 2**40))
@pytest.mark.parametrize("name", ("recurrence_forward", "recurrence_backward"))
def test_unknown_cells(name: str, cell: int) -> None:
    _, *arguments = arguments_of(name, PLAIN)
    check_operator_error(name, (cell, *arguments), f"cell must be 0 to 3, but is {cell}")


def _not_descending(step: int, size: int) -> str:
    return f"batch_sizes must descend from 4 and stay positive, but batch_sizes[{step}] is {size}"


TWELVE_ROWS = RecurrenceCase("rows", 3, 4, 5, 4)

#: Sizes that do not fit twelve rows of four sequences.
BAD_BATCH_SIZES: dict[str, tuple[Tensor, str]] = {
    "ascending": (torch.tensor([4, 3, 4, 1]), _not_descending(2, 4)),
    "more_than_the_batch": (torch.tensor([5, 4, 2, 1]), _not_descending(0, 5)),
    "fewer_than_the_batch": (torch.tensor([3, 3, 3, 3]), _not_descending(0, 3)),
    "a_step_of_none": (torch.tensor([4, 4, 4, 0]), _not_descending(3, 0)),
    "negative": (torch.tensor([4, 4, 4, 1, -1]), _not_descending(4, -1)),
    "overflow": (torch.tensor([4, 2**62, 2**62, 2**62, 2**62]), _not_descending(1, 2**62)),
    "too_few_rows": (
        torch.tensor([4, 4, 3]),
        "batch_sizes must add up to the rows of input, 12, but add up to 11",
    ),
    "too_many_rows": (
        torch.tensor([4, 4, 4, 4]),
        "batch_sizes must add up to the rows of input, 12, but add up to 16",
    ),
    "int32": (
        torch.tensor([4, 4, 2, 2], dtype=torch.int32),
        "batch_sizes must have dtype Long, but has Int",
    ),
    "float": (
        torch.tensor([4.0, 4.0, 2.0, 2.0]),
        "batch_sizes must have dtype Long, but has Float",
    ),
    "matrix": (
        torch.tensor([[4, 4, 2, 2]]),
        "batch_sizes must be 1-dimensional, but has shape [1, 4]",
    ),
    "scalar": (torch.tensor(4), "batch_sizes must be 1-dimensional, but has shape []"),
}


@pytest.mark.parametrize("bad", BAD_BATCH_SIZES)
@pytest.mark.parametrize("name", ("recurrence", "recurrence_forward", "recurrence_backward"))
def test_bad_batch_sizes(name: str, bad: str) -> None:
    sizes, message = BAD_BATCH_SIZES[bad]
    arguments = arguments_of(name, TWELVE_ROWS)
    check_operator_error(name, changed(arguments, 8, lambda _: sizes), message)


@pytest.mark.parametrize("batch", (0, -4, 5, 2**62))
@of_cells(TWELVE_ROWS)
def test_backward_of_rows_that_are_no_steps(case: RecurrenceCase, batch: int) -> None:
    """Twelve rows cannot be shared out among that many sequences."""
    arguments = arguments_of("recurrence_backward", case)
    check_operator_error("recurrence_backward", changed(arguments, 9, lambda _: batch))


@pytest.mark.parametrize(
    ("batch", "message"),
    (
        (0, "the number of sequences must be positive, but is 0"),
        (5, "the rows of input must be a multiple of the 5 sequences, but there are 12"),
    ),
)
@of_cells(TWELVE_ROWS)
def test_forward_of_rows_that_are_no_steps(case: RecurrenceCase, batch: int, message: str) -> None:
    arguments = arguments_of("recurrence_forward", case)
    for place in (1 + H0, 1 + C0):
        if arguments[place] is not None:
            arguments = changed(arguments, place, lambda _: torch.ones(batch, 4))
    check_operator_error("recurrence_forward", arguments, message)


@pytest.mark.parametrize("cell", [cell for cell in Cell if cell is not Cell.LSTM])
def test_backward_with_a_gradient_of_c(cell: Cell) -> None:
    arguments = arguments_of("recurrence_backward", PLAIN.of(cell))
    bad = changed(arguments, 3, lambda _: arguments[2])
    message = f"grad_c_n is only valid for LSTM, but is given for cell {cell:d}"
    check_operator_error("recurrence_backward", bad, message)


@of_cells(PLAIN, RecurrenceCase("step", 1, 3, 5, 4))
def test_backward_without_w_hh(case: RecurrenceCase) -> None:
    """Only the gradient of h0 can do without, and that only of one step."""
    arguments = arguments_of("recurrence_backward", case)
    some = changed(arguments, 7, lambda _: None)
    if case.steps > 1:
        message = f"w_hh must be given for more than one step, but is None for {case.steps} steps"
        check_operator_error("recurrence_backward", some, message)
    else:
        u = torch.ops.cnnext.recurrence_backward(*arguments)[0]
        assert_bitwise_equal(torch.ops.cnnext.recurrence_backward(*some)[0], u)


def test_backward_of_a_gru_with_h0() -> None:
    case = PLAIN.of(Cell.GRU)
    h0 = RECURRENCE.problem(case).operands[H0]
    arguments = changed(arguments_of("recurrence_backward", case), 6, lambda _: h0)
    message = f"h0 must be None for GRU, but has shape {list(h0.shape)}"
    check_operator_error("recurrence_backward", arguments, message)

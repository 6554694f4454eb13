"""recurrence: one layer of an LSTM, a GRU or an RNN in one direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cnnext.autograd import RecurrenceFunction
from cnnext.ops.recurrence import Cell, recurrence
from cnnext.testing.cases import VECTOR_SIZES, Case
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from tests.ops import problems
from tests.ops.bad_calls import check_operator_error
from tests.ops.graphs import ALL_CHECKS, BATCHES, FAKE_CHECK, Compiled, check_op, ops_in
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

INPUT, H0, C0, W_IH, W_HH, B_IH, B_HH = range(7)
OPERANDS = ("input", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh")
CELLS = tuple(Cell)

BY_ATEN = {
    Cell.LSTM: torch._VF.lstm,
    Cell.GRU: torch._VF.gru,
    Cell.RNN_TANH: torch._VF.rnn_tanh,
    Cell.RNN_RELU: torch._VF.rnn_relu,
}


# ---------------------------------------------------------------------------------- problems


@dataclass(frozen=True)
class RecurrenceCase(Case):
    """One layer; `sizes_of_steps` is how many of the sequences each step has, if not all."""

    steps: int
    batch: int
    input: int
    hidden: int
    sizes_of_steps: tuple[int, ...] | None = None
    reverse: bool = False
    cell: Cell = Cell.LSTM

    @property
    def rows(self) -> int:
        return sum(self.sizes_of_steps or (self.batch,) * self.steps)

    @property
    def batch_sizes(self) -> Tensor | None:
        return None if self.sizes_of_steps is None else torch.tensor(self.sizes_of_steps)

    def of(self, cell: Cell) -> RecurrenceCase:
        return replace(self, name=f"{cell.name.lower()}-{self.name}", cell=cell)

    def backwards_in_time(self) -> Tensor:
        """For each row, the row of the same sequence as far from its other end."""
        sizes = self.sizes_of_steps or (self.batch,) * self.steps
        lengths = [sum(size > i for size in sizes) for i in range(self.batch)]
        offsets = [sum(sizes[:step]) for step in range(len(sizes))]
        return torch.tensor(
            [offsets[lengths[i] - 1 - t] + i for t, size in enumerate(sizes) for i in range(size)],
            dtype=torch.int64,
        )


def packed(name: str, sizes: tuple[int, ...], input: int, hidden: int, **options: Any) -> Any:
    return RecurrenceCase(name, len(sizes), sizes[0], input, hidden, sizes, **options)


def by_aten(case: RecurrenceCase, values: Sequence[Any]) -> Tensors:
    """As `torch.nn.LSTM` and its kin would; in reverse, on sequences turned round."""
    x, h0, c0, *weights = values
    if case.reverse:
        x = x[case.backwards_in_time()]
    given = [weight for weight in weights if weight is not None]
    hx = h0[None] if c0 is None else (h0[None], c0[None])
    options = (given, len(given) == 4, 1, 0.0, False, False)
    if case.sizes_of_steps is None:
        steps = x.view(case.steps, case.batch, case.input)
        output, *lasts = BY_ATEN[case.cell](steps, hx, *options, False)
        output = output.reshape(case.rows, case.hidden)
    else:
        output, *lasts = BY_ATEN[case.cell](x, case.batch_sizes, hx, *options)
    if case.reverse:
        output = output[case.backwards_in_time()]
    return (output, *(last[0] for last in lasts))


def problem_of(
    case: RecurrenceCase,
    kind: str = "normal",
    dtype: torch.dtype = torch.float32,
    bias: bool = True,
    function: Callable[..., Tensors] = recurrence,
) -> Problem:
    """Operands as OPERANDS says; outputs: the output, the last h, and the last c of the LSTM."""
    generator = generator_for(case, kind)
    state, gates = (case.batch, case.hidden), case.cell.gates * case.hidden
    operands = (
        make_input(kind, (case.rows, case.input), generator, dtype),
        make_input("normal", state, generator, dtype),
        make_input("normal", state, generator, dtype) if case.cell is Cell.LSTM else None,
        make_input("normal", (gates, case.input), generator, dtype) / max(1, case.input) ** 0.5,
        make_input("normal", (gates, case.hidden), generator, dtype) / case.hidden**0.5,
        make_input("normal", (gates,), generator, dtype) if bias else None,
        make_input("normal", (gates,), generator, dtype) if bias else None,
    )

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        if library is NATIVE:
            return by_aten(case, values)
        x, *states = [value for value in values[:3] if value is not None]
        return tuple(
            function(case.cell, x, states, values[3:], case.batch_sizes, reverse=case.reverse)
        )

    return Problem(apply, operands)


def cases_of(*cases: RecurrenceCase) -> tuple[RecurrenceCase, ...]:
    return tuple(case.of(cell) for cell in CELLS for case in cases)


PLAIN = RecurrenceCase("plain", 4, 3, 5, 4)
PACKED = packed("packed", (4, 4, 2, 1, 1), 5, 4)
BOTH_WAYS = (
    PLAIN,
    replace(PLAIN, name="plain_reverse", reverse=True),
    PACKED,
    replace(PACKED, name="packed_reverse", reverse=True),
)
SMALL = cases_of(
    PLAIN,
    BOTH_WAYS[3],
    RecurrenceCase("one", 1, 1, 5, 9),
    RecurrenceCase("step", 1, 9, 17, 33),
    RecurrenceCase("wide", 3, 2, 37, 70),
)
LARGE = cases_of(
    RecurrenceCase("many_steps", 70, 11, 6, 20),
    packed("many_sequences_reverse", (67, 50, 50, 33, 1), 20, 18, reverse=True),
    RecurrenceCase("large", 9, 20, 130, 128),
)

each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name.lower())
each_place = pytest.mark.parametrize(
    ("cell", "place"),
    [
        pytest.param(cell, place, id=f"{cell.name.lower()}-{operand}")
        for cell in CELLS
        for place, operand in enumerate(OPERANDS)
        if cell is Cell.LSTM or place != C0
    ],
)
each_way = pytest.mark.parametrize("case", BOTH_WAYS, ids=str)


def kinds(case: RecurrenceCase) -> Any:
    return INPUT_KINDS if case in SMALL else ("normal",)


# ------------------------------------------------------------------------- forward vs float64


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("recurrence", "forward", SMALL, LARGE))
def test_forward(kernel: str, case: RecurrenceCase) -> None:
    for kind in kinds(case):
        problem = problems.cached(problem_of, case, kind, "nchw", dtype_of(kernel))
        with only_kernel("recurrence", kernel), use_threads(3):
            ours = problem.outputs(CNNEXT)
        problem.check_outputs(ours, what=f"{kind} output")


@pytest.mark.parametrize("scale", (1e-4, 30.0, 1e4), ids=("tiny", "saturated", "huge"))
@pytest.mark.parametrize(
    ("kernel", "case"), kernel_cases("recurrence", "forward", cases_of(PLAIN)[:3])
)
def test_gates_far_from_one(kernel: str, case: RecurrenceCase, scale: float) -> None:
    """Where exp overflows or the gates are flat."""
    problem = problem_of(case, dtype=dtype_of(kernel)).mapped(lambda t: t * scale)
    with only_kernel("recurrence", kernel):
        ours = problem.outputs(CNNEXT)
    problem.check_outputs(ours)


@pytest.mark.parametrize("value", (torch.inf, -torch.inf, torch.nan), ids=str)
@each_place
def test_infinities_and_nans(cell: Cell, place: int, value: float) -> None:
    problem = problem_of(PLAIN.of(cell))
    problem.operands[place][-1] = value
    problem.check_outputs(problem.outputs(CNNEXT))


@each_cell
@each_way
def test_without_bias(case: RecurrenceCase, cell: Cell) -> None:
    check_everything(problem_of(case.of(cell), bias=False))


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("recurrence", "backward", SMALL, LARGE))
def test_backward(kernel: str, case: RecurrenceCase) -> None:
    for kind in kinds(case):
        problem = problems.cached(problem_of, case, kind, "nchw", dtype_of(kernel))
        with only_kernel("recurrence", kernel), use_threads(3):
            ours = problem.gradients(CNNEXT)
        problem.check_gradients(ours, what=f"{kind} gradient")


@each_place
def test_backward_computes_what_is_wanted(cell: Cell, place: int) -> None:
    problem = problem_of(PLAIN.of(cell))
    problem.check_gradients(problem.gradients(CNNEXT, place), place)


@pytest.mark.parametrize(
    "kept", ((0,), (1,), (2,), (0, 1), (1, 2)), ids=("output", "h", "c", "output_h", "h_c")
)
@each_cell
@each_way
def test_gradient_of_some_outputs(case: RecurrenceCase, cell: Cell, kept: tuple[int, ...]) -> None:
    """The other outputs' gradients are missing, not zero."""
    if cell is not Cell.LSTM and 2 in kept:
        pytest.skip("only the LSTM has c")
    whole = problem_of(case.of(cell))

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        outputs = whole.apply(library, values)
        return tuple(outputs[i] for i in kept)

    some = Problem(apply, whole.operands)
    some.check_gradients(some.gradients(CNNEXT))


@each_cell
def test_gradient_of_no_output(cell: Cell) -> None:
    problem = problem_of(PLAIN.of(cell))
    leaves = problem.leaves(*problem.places)
    outputs = problem.apply(CNNEXT, leaves)
    other = leaves[INPUT].sum() + sum(output.detach().sum() for output in outputs)
    other.backward()
    assert leaves[H0].grad is None


@each_cell
@each_way
def test_gradient_through_calls(case: RecurrenceCase, cell: Cell) -> None:
    """A second call goes on from the last states: their gradients add up."""
    once = problem_of(case.of(cell))

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        x, h0, c0, *weights = values
        output, *states = once.apply(library, values)
        states = states if cell is Cell.LSTM else [*states, None]
        return (output, *once.apply(library, (x.flip(0), *states, *weights)))

    check_everything(Problem(apply, once.operands))


@each_cell
@each_way
def test_gradient_of_a_sum(case: RecurrenceCase, cell: Cell) -> None:
    check_sum_gradient(problem_of(case.of(cell)))


@each_cell
def test_one_tensor_in_two_places(cell: Cell) -> None:
    """The gradients of both add up, also where they are differentiated again."""
    problem = problem_of(RecurrenceCase("square", 2, 2, 2, 2, cell=cell), dtype=torch.float64)
    x, h0, c0, weight, _, bias, _ = problem.operands

    def apply(library: Any, values: Sequence[Any]) -> Tensors:
        x, h0, weight, bias = values
        c0 = h0 if cell is Cell.LSTM else None
        return problem.apply(library, (x, h0, c0, weight, weight, bias, bias))

    same = Problem(apply, (x, h0, weight, bias))
    check_everything(same)
    check_derivatives(same)


@each_cell
def test_function_can_be_applied_directly(cell: Cell) -> None:
    problem = problem_of(PLAIN.of(cell))
    leaves = problem.leaves(*problem.places)
    outputs = RecurrenceFunction.apply(cell, None, False, *leaves)
    for result, expected in zip(outputs, problem.apply(CNNEXT, leaves), strict=True):
        assert_bitwise_equal(result, expected)
        assert type(result.grad_fn).__name__ == "RecurrenceFunctionBackward"


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@each_cell
@pytest.mark.parametrize(
    ("case", "bias"),
    (
        pytest.param(RecurrenceCase("tiny", 2, 2, 2, 1), True, id="bias"),
        pytest.param(RecurrenceCase("tiny_reverse", 2, 2, 1, 2, reverse=True), False, id="reverse"),
        pytest.param(packed("tiny_packed", (3, 1), 2, 1), False, id="packed"),
        pytest.param(packed("tiny_both", (3, 1), 1, 1, reverse=True), True, id="packed_reverse"),
    ),
)
def test_derivatives(case: RecurrenceCase, cell: Cell, bias: bool) -> None:
    check_derivatives(problem_of(case.of(cell), bias=bias))


# ------------------------------------------------------------------------------------ opcheck


def changed(values: Sequence[Any], place: int, change: Callable[[Tensor], Any]) -> tuple[Any, ...]:
    """The values with that one changed."""
    return (*values[:place], change(values[place]), *values[place + 1 :])


def forward_arguments(
    case: RecurrenceCase, operands: Sequence[Any], saves: bool = True
) -> tuple[Any, ...]:
    return (int(case.cell), *operands, case.batch_sizes, case.reverse, saves)


def backward_arguments(case: RecurrenceCase, problem: Problem) -> tuple[Any, ...]:
    """All gradients are given."""
    arguments = forward_arguments(case, problem.operands)
    output, h_n, c_n, workspace, state = torch.ops.cnnext.recurrence_forward(*arguments)
    seeds = [seed_gradient(output), seed_gradient(h_n), seed_gradient(c_n)]
    if case.cell is not Cell.LSTM:
        seeds[2] = None
    h0 = None if case.cell is Cell.GRU else problem.operands[H0]
    w_hh, sizes = problem.operands[W_HH], case.batch_sizes
    return (int(case.cell), *seeds, workspace, state, h0, w_hh, sizes, case.batch, case.reverse)


def check_all_ops(
    case: RecurrenceCase, problem: Problem, checks: tuple[str, ...] = ALL_CHECKS
) -> None:
    arguments = forward_arguments(case, problem.operands)
    check_op("recurrence_forward", *arguments, checks=checks)
    saves_nothing = forward_arguments(case, problem.operands, saves=False)
    check_op("recurrence_forward", *saves_nothing, checks=FAKE_CHECK)
    arguments = backward_arguments(case, problem)
    check_op("recurrence_backward", *arguments, checks=checks)
    no_gradients = (arguments[0], None, None, None, *arguments[4:])
    check_op("recurrence_backward", *no_gradients, checks=FAKE_CHECK)
    check_op("recurrence_backward", *changed(arguments, 6, lambda _: None), checks=FAKE_CHECK)
    leaves = problem.leaves(*problem.places)
    check_op("recurrence", *forward_arguments(case, leaves), checks=checks)


@pytest.mark.parametrize(
    ("cell", "case", "bias"),
    (
        pytest.param(Cell.LSTM, PLAIN, True, id="lstm"),
        pytest.param(Cell.GRU, BOTH_WAYS[1], True, id="gru-reverse"),
        pytest.param(Cell.RNN_TANH, PLAIN, False, id="rnn_tanh-no_bias"),
        pytest.param(Cell.RNN_RELU, BOTH_WAYS[1], True, id="rnn_relu-reverse"),
    ),
)
def test_opcheck(cell: Cell, case: RecurrenceCase, bias: bool) -> None:
    case = case.of(cell)
    check_all_ops(case, problem_of(case, bias=bias))


@each_cell
def test_opcheck_of_batch_sizes(cell: Cell) -> None:
    case = BOTH_WAYS[3].of(cell)
    check_all_ops(case, problem_of(case), ("test_schema", *FAKE_CHECK))


@each_cell
@pytest.mark.parametrize("case", (PLAIN, RecurrenceCase("one", 1, 1, 1, 1)), ids=str)
def test_strides_of_fake_tensors(case: RecurrenceCase, cell: Cell) -> None:
    case = case.of(cell)
    for view in VIEWS.values():
        check_all_ops(case, problem_of(case).mapped(view), FAKE_CHECK)


# ------------------------------------------------------------------------------------ compile


@pytest.mark.parametrize(
    ("case", "bias", "backend"),
    (
        pytest.param(PLAIN, False, "eager", id="no_bias-eager"),
        pytest.param(BOTH_WAYS[1], True, "aot_eager", id="reverse-aot_eager"),
        pytest.param(PLAIN, True, "inductor", id="bias-inductor", marks=pytest.mark.slow),
    ),
)
@each_cell
def test_compile(cell: Cell, case: RecurrenceCase, bias: bool, backend: str) -> None:
    compiled = Compiled(backend)
    problem = problem_of(case.of(cell), bias=bias, function=compiled.compile(recurrence, backend))
    problem.check_outputs(problem.outputs(CNNEXT), what="compiled output")
    problem.check_gradients(problem.gradients(CNNEXT), what="compiled gradient")
    assert compiled.graphs
    assert all("recurrence" in ops_in(graph) for graph in compiled.graphs)


@pytest.mark.parametrize("cell", CELLS[:2], ids=lambda cell: cell.name.lower())
def test_compile_with_dynamic_batch(cell: Cell) -> None:
    """One graph serves every number of sequences."""
    compiled = Compiled("aot_eager")
    function = compiled.compile(recurrence, "aot_eager", dynamic=True)
    for batch in BATCHES:
        case = replace(PLAIN.of(cell), batch=batch)
        problem = problem_of(case, function=function)
        problem.check_gradients(problem.gradients(CNNEXT), what=f"gradient at batch {batch}")
    assert len(compiled.graphs) == 1
    assert "recurrence" in ops_in(compiled.graphs[0])


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS)
@each_cell
def test_views(cell: Cell, view: str, dtype: torch.dtype) -> None:
    for case in BOTH_WAYS:
        check_everything(problem_of(case.of(cell), dtype=dtype).mapped(VIEWS[view]))


@each_place
def test_one_view(cell: Cell, place: int) -> None:
    problem = problem_of(PLAIN.of(cell))
    for view in VIEWS.values():
        check_everything(replace(problem, operands=changed(problem.operands, place, view)))


@each_cell
def test_expanded_operands(cell: Cell) -> None:
    check_everything(problem_of(PLAIN.of(cell)).mapped(lambda t: t[:1].expand_as(t)))


@pytest.mark.parametrize("view", VIEWS)
@each_cell
def test_views_of_the_gradients(cell: Cell, view: str) -> None:
    for case in BOTH_WAYS:
        problem = problem_of(case.of(cell))
        problem = replace(problem, seed=lambda output: VIEWS[view](seed_gradient(output)))
        problem.check_gradients(problem.gradients(CNNEXT))


def test_view_of_the_batch_sizes() -> None:
    case = packed("sizes", (4, 3, 1), 5, 4)
    problem = problem_of(case)
    sizes = torch.tensor([4, 0, 3, 0, 1])[::2]
    x, h0, c0, *weights = problem.operands
    problem.check_outputs(recurrence(Cell.LSTM, x, (h0, c0), weights, sizes))


@each_cell
def test_states_in_one_tensor(cell: Cell) -> None:
    """The first states of several layers, unbound: they share memory, and have offsets."""
    problem = problem_of(PLAIN.of(cell))
    for place in (H0, C0):
        if problem.operands[place] is not None:
            operands = changed(problem.operands, place, lambda t: torch.stack((t, t)).unbind(0)[1])
            problem = replace(problem, operands=operands)
    check_everything(problem)


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize("size", VECTOR_SIZES)
@each_cell
def test_sizes_around_the_vectors(cell: Cell, size: int) -> None:
    for batch, inputs, hidden in ((size, 3, 4), (2, size, 4), (2, 3, size), (size, size, size)):
        case = RecurrenceCase(f"{batch}_{inputs}_{hidden}", 2, batch, inputs, hidden)
        # Small: sums of positive values alone would leave no slope to any gate.
        check_everything(problem_of(case.of(cell)).positive().mapped(lambda t: t / 4))


@pytest.mark.parametrize("size", VECTOR_SIZES)
@each_cell
def test_steps_that_lose_sequences(cell: Cell, size: int) -> None:
    """One at a time, from either end."""
    for reverse in (False, True):
        case = packed(f"stairs_{size}", tuple(range(size, 0, -1)), 4, 5, reverse=reverse)
        check_everything(problem_of(case.of(cell)))


@each_cell
def test_no_features(cell: Cell) -> None:
    problem = problem_of(replace(PLAIN.of(cell), input=0))
    problem.check_outputs(problem.outputs(CNNEXT))
    problem.check_gradients(problem.gradients(CNNEXT))


@each_cell
def test_no_units(cell: Cell) -> None:
    case = PACKED.of(cell)
    x = torch.ones(case.rows, 3, requires_grad=True)
    states = [torch.ones(case.batch, 0)] * (2 if cell is Cell.LSTM else 1)
    weights = (torch.ones(0, 3), torch.ones(0, 0), None, None)
    output, *lasts = recurrence(cell, x, states, weights, case.batch_sizes)
    assert output.shape == (case.rows, 0)
    assert all(last.shape == (case.batch, 0) for last in lasts)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


@given(
    cell=st.sampled_from(CELLS),
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
        case = RecurrenceCase("fuzz", len(sizes), sizes[0], input, hidden, reverse=reverse)
    else:
        case = packed("fuzz", tuple(sorted(sizes, reverse=True)), input, hidden, reverse=reverse)
    check_everything(problem_of(case.of(cell), dtype=dtype, bias=bias))


@pytest.mark.parametrize("case", (*cases_of(*BOTH_WAYS), *LARGE), ids=str)
def test_same_bits_twice(case: RecurrenceCase) -> None:
    check_deterministic(problem_of(case))


@each_cell
def test_equal_lengths_as_batch_sizes(cell: Cell) -> None:
    """Equal batch sizes give the same bits as none, since all sequences then have all steps."""
    case = PLAIN.of(cell)
    problem = problem_of(case)
    told = replace(case, sizes_of_steps=(case.batch,) * case.steps)
    x, *states = [t for t in problem.operands[:3] if t is not None]
    weights = problem.operands[3:]
    both = [recurrence(cell, x, states, weights, c.batch_sizes) for c in (case, told)]
    for result, expected in zip(*both, strict=True):
        assert_bitwise_equal(result, expected)


# ------------------------------------------------------------------------- the bare operators

CHANGES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t[:-1],
    lambda t: t[..., :-1],
    lambda t: t[None],
    torch.Tensor.double,
    torch.Tensor.long,
)


@each_place
def test_forward_operator(cell: Cell, place: int) -> None:
    case = RecurrenceCase("rows", 3, 3, 5, 4, cell=cell)  # 9 rows: no steps of 2 sequences
    for change in CHANGES:
        operands = changed(problem_of(case).operands, place, change)
        for name in ("recurrence", "recurrence_forward"):
            check_operator_error(name, forward_arguments(case, operands))


@pytest.mark.parametrize("place", (B_IH, B_HH), ids=("b_ih", "b_hh"))
@each_cell
def test_forward_operator_with_one_bias(cell: Cell, place: int) -> None:
    case = PLAIN.of(cell)
    operands = changed(problem_of(case).operands, place, lambda _: None)
    name = "b_ih" if place == B_IH else "b_hh"
    message = f"b_ih and b_hh must be given together, but {name} is None"
    check_operator_error("recurrence_forward", forward_arguments(case, operands), message)


@each_cell
def test_forward_operator_with_another_number_of_states(cell: Cell) -> None:
    case = PLAIN.of(cell)
    problem = problem_of(case)
    c0 = None if cell is Cell.LSTM else problem.operands[H0]
    operands = changed(problem.operands, C0, lambda _: c0)
    lstm = cell is Cell.LSTM
    message = (
        "c0 must be given for LSTM, but is None"
        if lstm
        else f"c0 is only valid for LSTM, but is given for cell {cell:d}"
    )
    check_operator_error("recurrence_forward", forward_arguments(case, operands), message)


@pytest.mark.parametrize("cell", (-1, 4, 2**40))
def test_unknown_cells(cell: int) -> None:
    problem = problem_of(PLAIN)
    message = f"cell must be 0 to 3, but is {cell}"
    forward = forward_arguments(PLAIN, problem.operands)
    check_operator_error("recurrence_forward", (cell, *forward[1:]), message)
    backward = backward_arguments(PLAIN, problem)
    check_operator_error("recurrence_backward", (cell, *backward[1:]), message)


def _not_descending(step: int, size: int) -> str:
    return f"batch_sizes must descend from 4 and stay positive, but batch_sizes[{step}] is {size}"


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
def test_bad_batch_sizes(bad: str) -> None:
    sizes, message = BAD_BATCH_SIZES[bad]
    case = RecurrenceCase("rows", 3, 4, 5, 4)
    problem = problem_of(case)
    forward = (*forward_arguments(case, problem.operands)[:8], sizes, False, True)
    backward = backward_arguments(case, problem)
    for name in ("recurrence", "recurrence_forward"):
        check_operator_error(name, forward, message)
    check_operator_error("recurrence_backward", (*backward[:8], sizes, case.batch, False), message)


@pytest.mark.parametrize("batch", (0, -4, 5, 2**62))
@each_cell
def test_rows_that_are_no_steps(cell: Cell, batch: int) -> None:
    """Twelve rows cannot be shared out among that many sequences."""
    case = RecurrenceCase("rows", 3, 4, 5, 4, cell=cell)
    problem = problem_of(case)
    backward = backward_arguments(case, problem)
    check_operator_error("recurrence_backward", (*backward[:9], batch, False))
    if batch in (0, 5):
        states = torch.ones(batch, 4)
        operands = changed(problem.operands, H0, lambda _: states)
        if cell is Cell.LSTM:
            operands = changed(operands, C0, lambda _: states)
        message = (
            "the rows of input must be a multiple of the 5 sequences, but there are 12"
            if batch
            else "the number of sequences must be positive, but is 0"
        )
        check_operator_error("recurrence_forward", forward_arguments(case, operands), message)


@each_cell
def test_backward_operator(cell: Cell) -> None:
    case = PLAIN.of(cell)
    arguments = backward_arguments(case, problem_of(case))
    for place, argument in enumerate(arguments):
        # The RNN's workspace has no elements to miss.
        if isinstance(argument, Tensor) and argument.numel() > 0:
            for change in CHANGES:
                check_operator_error("recurrence_backward", changed(arguments, place, change))


@pytest.mark.parametrize("cell", CELLS[1:], ids=lambda cell: cell.name.lower())
def test_backward_operator_with_a_gradient_of_c(cell: Cell) -> None:
    case = PLAIN.of(cell)
    arguments = backward_arguments(case, problem_of(case))
    bad = changed(arguments, 3, lambda _: arguments[2])
    message = f"grad_c_n is only valid for LSTM, but is given for cell {cell:d}"
    check_operator_error("recurrence_backward", bad, message)


@each_cell
def test_backward_operator_without_w_hh(cell: Cell) -> None:
    """Only the gradient of h0 can do without, and that only of one step."""
    for case in (RecurrenceCase("step", 1, 3, 5, 4, cell=cell), PLAIN.of(cell)):
        arguments = backward_arguments(case, problem_of(case))
        some = changed(arguments, 7, lambda _: None)
        if case.steps > 1:
            message = (
                f"w_hh must be given for more than one step, but is None for {case.steps} steps"
            )
            check_operator_error("recurrence_backward", some, message)
            continue
        u = torch.ops.cnnext.recurrence_backward(*arguments)[0]
        assert_bitwise_equal(torch.ops.cnnext.recurrence_backward(*some)[0], u)


def test_backward_operator_of_a_gru_with_h0() -> None:
    case = PLAIN.of(Cell.GRU)
    problem = problem_of(case)
    arguments = changed(backward_arguments(case, problem), 6, lambda _: problem.operands[H0])
    message = f"h0 must be None for GRU, but has shape {list(problem.operands[H0].shape)}"
    check_operator_error("recurrence_backward", arguments, message)

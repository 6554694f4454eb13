"""Every recurrence kernel against the formulas of csrc/recurrence/recurrence.h in float64.

Each step is held to what one step may be off by: it is computed from what the kernel itself has
left in the step before, so that nothing has to be said about how errors grow from step to step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, assert_within, eps_of, generator, sum_tolerance, wide

#: How many eps a sigmoid or tanh may be off, relative to its value. The vector kernels are off by
#: 1.5; the rest is for other compilers and for NumPy, against which float64 kernels are measured.
ACTIVATION_EPS = 3

#: The vector kernels' sigmoid ends at exp(-87), just above where floats lose precision.
SIGMOID_FLOOR = 2e-38

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
WORKSPACE_BLOCKS = {"lstm": 4, "gru": 4, "rnn_tanh": 0, "rnn_relu": 0}


class Case(NamedTuple):
    cell: str
    batch_sizes: tuple[int, ...]
    input: int
    hidden: int

    def __str__(self) -> str:
        sizes = ".".join(map(str, self.batch_sizes))
        return f"{self.cell}-{sizes}-{self.input}x{self.hidden}"

    @property
    def batch(self) -> int:
        return self.batch_sizes[0]

    @property
    def rows(self) -> int:
        return sum(self.batch_sizes)

    @property
    def gates(self) -> int:
        return GATES[self.cell]

    @property
    def shape(self) -> Shape:
        return {
            **{"cell": self.cell, "steps": len(self.batch_sizes), "rows": self.rows},
            **{"batch": self.batch, "input": self.input, "hidden": self.hidden},
        }

    def walk(self, direction: str, reverse: bool) -> list[slice]:
        """The rows of each step, in the order that a pass takes them."""
        ends = np.cumsum(self.batch_sizes).tolist()
        steps = [slice(end - n, end) for end, n in zip(ends, self.batch_sizes, strict=True)]
        return steps[::-1] if reverse == (direction == "forward") else steps

    def sequences(self) -> Array:
        """Which sequence each row belongs to."""
        return np.concatenate([np.arange(n) for n in self.batch_sizes])


def small_cases() -> list[Case]:
    """Each cell meets every other size of the state, and each of one step, several, and sequences
    of unequal lengths."""
    cases = []
    for shift, cell in enumerate(GATES):
        for i in range(shift % 2, len(SIZES), 2):
            n = SIZES[i - 2]
            batch_sizes = [(n,), (n, n, n), (n, n - n // 3, n - n // 3, 1)][(i + shift) % 3]
            cases.append(Case(cell, batch_sizes, SIZES[i - 5], SIZES[i]))
        cases.append(Case(cell, (2, 1), 0, 5))
    # An LSTM's only step is an operator as well.
    cases += [
        Case("lstm", (SIZES[i - 2],), SIZES[i - 5], SIZES[i]) for i in range(1, len(SIZES), 2)
    ]
    return cases


SMALL = small_cases()
#: Beyond the kernels' blocks of each dimension, to go through more than one.
LARGE = [
    Case(cell, *sizes)
    for cell in GATES
    for sizes in (
        *(((30, 30, 17), 40, 70), ((140, 140, 99, 3), 3, 20)),
        *(((2, 2), 260, 20), ((2, 1), 3, 270)),
    )
]
LARGE += [Case("lstm", *sizes) for sizes in (((1,), 300, 20), ((3,), 20, 270), ((390,), 3, 4))]


def variants(cases: list[Case]) -> dict[str, tuple[Shape, list[Case]]]:
    return {str(case): (case.shape, [case]) for case in cases}


PARAMS = {
    direction: [
        *each_kernel("recurrence", direction, variants=variants(SMALL)),
        *each_kernel("recurrence", direction, variants=variants(LARGE), references=False),
    ]
    for direction in ("forward", "backward")
}


class Forward(NamedTuple):
    """What a forward pass reads."""

    x: Array
    h0: Array
    c0: Array | None
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class Backward(NamedTuple):
    """What a backward pass reads."""

    saved_workspace: Array
    saved_state: Array
    w_hh: Array | None
    dy: Array | None
    dh_n: Array | None
    dc_n: Array | None
    h0: Array | None


@dataclass(frozen=True)
class Estimate:
    """A value, and how far from it a kernel may be: as far as what it is computed from takes it,
    and one rounding for each operation. As in `sum_tolerance`, half of each is NumPy's."""

    value: Array
    error: Array
    eps: float

    def _rounded(self, value: Array, error: Array) -> Estimate:
        return Estimate(value, error + self.eps * np.abs(value), self.eps)

    def __add__(self, other: Estimate) -> Estimate:
        return self._rounded(self.value + other.value, self.error + other.error)

    def __sub__(self, other: Estimate) -> Estimate:
        return self._rounded(self.value - other.value, self.error + other.error)

    def __rsub__(self, number: int) -> Estimate:
        return self._rounded(number - self.value, self.error)

    def __mul__(self, other: Estimate) -> Estimate:
        error = np.abs(self.value) * other.error + np.abs(other.value) * self.error
        return self._rounded(self.value * other.value, error + self.error * other.error)

    def __getitem__(self, at: slice) -> Estimate:
        return Estimate(self.value[at], self.error[at], self.eps)

    def __setitem__(self, at: slice, other: Estimate) -> None:
        self.value[at], self.error[at] = other.value, other.error


def given(values: Array, dtype: str) -> Estimate:
    return Estimate(values, np.zeros_like(values), eps_of(dtype))


def side_by_side(blocks: Sequence[Estimate]) -> Estimate:
    value, error = (np.stack([getattr(b, part) for b in blocks], 1) for part in ("value", "error"))
    return Estimate(value, error, blocks[0].eps)


def sum_of(factors: Iterable[tuple[Array, Array]], terms: list[Estimate], dtype: str) -> Estimate:
    """The sum of some products of matrices, and of terms."""
    value: Any = sum(term.value for term in terms)
    magnitude: Any = sum(np.abs(term.value) for term in terms)
    length = len(terms)
    for a, b in factors:
        value = value + a @ b
        magnitude = magnitude + np.abs(a) @ np.abs(b)
        length += len(b)
    error: Any = sum(term.error for term in terms)
    return Estimate(value, error + sum_tolerance(magnitude, length, dtype), eps_of(dtype))


def sigmoid(z: Estimate) -> Estimate:
    value = 1 / (1 + np.exp(-z.value))
    return Estimate(value, z.error / 4 + ACTIVATION_EPS * z.eps * value + SIGMOID_FLOOR, z.eps)


def tanh(z: Estimate) -> Estimate:
    value = np.tanh(z.value)
    return Estimate(value, z.error + ACTIVATION_EPS * z.eps * np.abs(value), z.eps)


@cache
def draw_forward(case: Case, kind: str, dtype: str, bias: bool = True) -> Forward:
    rng = generator("recurrence", case, kind, dtype)
    batch, inputs, hidden = case.batch, case.input, case.hidden
    columns = case.gates * hidden
    drawn = (
        INPUT_KINDS[kind](rng, (case.rows, inputs)),
        np.tanh(INPUT_KINDS[kind](rng, (batch, hidden))),
        rng.standard_normal((batch, hidden)) if case.cell == "lstm" else None,
        rng.standard_normal((columns, inputs)) / (1 + inputs) ** 0.5,
        rng.standard_normal((columns, hidden)) / hidden**0.5,
        rng.standard_normal(columns) if bias else None,
        rng.standard_normal(columns) if bias else None,
    )
    return Forward(*(None if a is None else a.astype(dtype) for a in drawn))


@cache
def draw_backward(
    case: Case, dtype: str, dy: bool = True, dh_n: bool = True, dc_n: bool = True
) -> Backward:
    """Operands that no forward pass computed, but whose values one could have left."""
    rng = generator("recurrence backward", case, dtype)
    batch, rows, hidden = case.batch, case.rows, case.hidden
    workspace = rng.standard_normal((rows, WORKSPACE_BLOCKS[case.cell], hidden))
    state = rng.standard_normal((rows, hidden))
    if case.cell == "lstm":
        workspace[:, [0, 1, 3]] = 1 / (1 + np.exp(-workspace[:, [0, 1, 3]]))
        workspace[:, 2] = np.tanh(workspace[:, 2])
    elif case.cell == "gru":
        workspace[:, 0] = np.tanh(workspace[:, 0])
        workspace[:, 1:3] = 1 / (1 + np.exp(-workspace[:, 1:3]))
    if case.cell != "lstm":
        state = np.maximum(state, 0) if case.cell == "rnn_relu" else np.tanh(state)
    w_hh = rng.standard_normal((case.gates * hidden, hidden)) / hidden**0.5
    others = [rng.standard_normal((n, hidden)) for n in (rows, batch, batch, batch)]
    wanted = (dy, dh_n, dc_n and case.cell == "lstm", case.cell != "gru")
    return Backward(
        *(a.astype(dtype) for a in (workspace, state, w_hh)),
        *(a.astype(dtype) if want else None for a, want in zip(others, wanted, strict=True)),
    )


def options(case: Case, reverse: bool) -> dict[str, Any]:
    equal = len(set(case.batch_sizes)) == 1
    sizes = None if equal else list(case.batch_sizes)
    return {**case.shape, "batch_sizes": sizes, "reverse": reverse}


def run_forward(
    kernel: Kernel,
    case: Case,
    operands: Forward,
    reverse: bool = False,
    saves: bool = True,
    *,
    threads: int,
) -> dict[str, Array]:
    keywords = options(case, reverse)
    y, h_n, c_n, workspace, state = kernel.run(*operands, saves=saves, threads=threads, **keywords)
    results = {"y": y, "h_n": h_n}
    if case.cell == "lstm":
        results["c_n"] = c_n
    if saves:
        results["state"] = state
    shaped = {name: a.reshape(-1, case.hidden) for name, a in results.items()}
    if WORKSPACE_BLOCKS[case.cell] and saves:
        shaped["workspace"] = workspace.reshape(case.rows, -1, case.hidden)
    return shaped


def run_backward(
    kernel: Kernel, case: Case, operands: Backward, reverse: bool = False, *, threads: int
) -> dict[str, Array]:
    keywords = options(case, reverse)
    u, u_hh, h_before, dh0, dc0 = kernel.run(*operands, threads=threads, **keywords)
    results = {"u": u.reshape(case.rows, -1, case.hidden)}
    if operands.w_hh is not None:
        results["dh0"] = dh0.reshape(-1, case.hidden)
    if operands.h0 is not None:
        results["h_before"] = h_before.reshape(-1, case.hidden)
    if case.cell == "lstm":
        results["dc0"] = dc0.reshape(-1, case.hidden)
    if case.cell == "gru":
        results["u_hh"] = u_hh.reshape(case.rows, -1, case.hidden)
    return results


def handed_on(first: Array, values: Array, walk: list[slice]) -> tuple[Array, Array]:
    """What each row gets from the step before, where a sequence starts with `first` and a step
    leaves `values`; and what the sequences end with."""
    state, before = first.copy(), np.empty_like(values)
    for rows in walk:
        n = rows.stop - rows.start
        before[rows] = state[:n]
        state[:n] = values[rows]
    return before, state


def step_forward(case: Case, operands: Forward, h: Array, c: Array | None) -> dict[str, Estimate]:
    """h', c' and the workspace of all rows, from the states that the rows start from."""
    dtype = str(operands.x.dtype)
    x, _, _, w_ih, w_hh, b_ih, b_hh = wide(operands)
    h, c = wide([h, c])
    of_x, of_h = (x, w_ih, b_ih), (h, w_hh, b_hh)

    def sums(gate: int, *products: tuple[Array, Array, Array | None]) -> Estimate:
        units = slice(gate * case.hidden, (gate + 1) * case.hidden)
        factors = [(a, w[units].T) for a, w, _ in products]
        return sum_of(
            factors, [given(b[units], dtype) for *_, b in products if b is not None], dtype
        )

    if case.cell == "lstm":
        i, f, g, o = ((tanh if gate == 2 else sigmoid)(sums(gate, of_x, of_h)) for gate in range(4))
        c_next = f * given(c, dtype) + i * g
        return {"h": o * tanh(c_next), "c": c_next, "workspace": side_by_side([i, f, g, o])}
    if case.cell == "gru":
        r, z = (sigmoid(sums(gate, of_x, of_h)) for gate in range(2))
        q = sums(2, of_h)
        n = tanh(sums(2, of_x) + r * q)
        return {"h": n + z * (given(h, dtype) - n), "workspace": side_by_side([n, r, z, q])}
    z = sums(0, of_x, of_h)
    if case.cell == "rnn_tanh":
        return {"h": tanh(z)}
    return {"h": Estimate(np.maximum(z.value, 0), z.error, z.eps)}


def check_forward(
    case: Case, operands: Forward, actual: dict[str, Array], reverse: bool, what: str
) -> None:
    walk = case.walk("forward", reverse)
    h, h_n = handed_on(operands.h0, actual["y"], walk)
    assert_same_bits(actual["h_n"], h_n, f"h_n, {what}")
    c, of_steps = None, {"h": actual["y"]}
    if operands.c0 is not None:
        c = actual["state"]
        of_steps["c"], c0 = handed_on(actual["c_n"], c, walk[::-1])
        assert_same_bits(c0, operands.c0, f"state of first steps, {what}")
    else:
        assert_same_bits(
            actual["state"], h if case.cell == "gru" else actual["y"], f"state, {what}"
        )
    if "workspace" in actual:
        of_steps["workspace"] = actual["workspace"]
    expected = step_forward(case, operands, h, c)
    assert expected.keys() == of_steps.keys()
    for name, estimate in expected.items():
        assert_within(of_steps[name], estimate.value, estimate.error, f"{name}, {what}")


def step_backward(
    cell: str, workspace: list[Estimate], state: Estimate, dh: Estimate, dc_next: Estimate
) -> dict[str, Estimate]:
    """The gradients of one step: u, also for w_hh, and what goes on to h and c other than by
    w_hh."""
    if cell == "lstm":
        i, f, g, o = workspace
        t = tanh(f * state + i * g)
        dc = dc_next + dh * o * (1 - t * t)
        u = [dc * g * i * (1 - i), dc * state * f * (1 - f), dc * i * (1 - g * g)]
        u.append(dh * t * o * (1 - o))
        return {"u": side_by_side(u), "dc": dc * f}
    if cell == "gru":
        n, r, z, q = workspace
        u_n = dh * (1 - z) * (1 - n * n)
        u_r, u_z = u_n * q * r * (1 - r), dh * (state - n) * z * (1 - z)
        u_hh = side_by_side([u_r, u_z, u_n * r])
        return {"u": side_by_side([u_r, u_z, u_n]), "u_hh": u_hh, "dh": dh * z}
    if cell == "rnn_tanh":
        return {"u": side_by_side([dh * (1 - state * state)])}
    stopped = state.value <= 0
    passed = Estimate(np.where(stopped, 0, dh.value), np.where(stopped, 0, dh.error), dh.eps)
    return {"u": side_by_side([passed])}


def check_backward(
    case: Case, operands: Backward, actual: dict[str, Array], reverse: bool, what: str
) -> None:
    dtype = str(operands.w_hh.dtype)
    workspace, state, w_hh, dy, dh_n, dc_n, h0 = wide(operands)
    zeros = np.zeros((case.batch, case.hidden))
    dh, dc = (given(zeros.copy() if d is None else d, dtype) for d in (dh_n, dc_n))
    walk = case.walk("backward", reverse)
    (u_hh,) = wide([actual.get("u_hh", actual["u"])])
    u_hh = u_hh.reshape(case.rows, -1)
    u_after, u_last = handed_on(np.zeros((case.batch, u_hh.shape[1])), u_hh, walk)
    for rows in walk:
        first = slice(rows.stop - rows.start)
        terms = [dh[first]] if dy is None else [dh[first], given(dy[rows], dtype)]
        gradients = step_backward(
            case.cell,
            [given(workspace[rows, i], dtype) for i in range(workspace.shape[1])],
            given(state[rows], dtype),
            sum_of([(u_after[rows], w_hh)], terms, dtype),
            dc[first],
        )
        dh[first] = gradients.pop("dh", given(zeros[first], dtype))
        if case.cell == "lstm":
            dc[first] = gradients.pop("dc")
        for name, estimate in gradients.items():
            where = f"{name} of rows {rows.start} to {rows.stop}, {what}"
            assert_within(actual[name][rows], estimate.value, estimate.error, where)
    dh = sum_of([(u_last, w_hh)], [dh], dtype)
    assert_within(actual["dh0"], dh.value, dh.error, f"dh0, {what}")
    if case.cell == "lstm":
        assert_within(actual["dc0"], dc.value, dc.error, f"dc0, {what}")
    if h0 is not None:
        h = given(state, dtype)
        if case.cell == "lstm":
            i, f, g, o = (given(workspace[:, block], dtype) for block in range(4))
            h = o * tanh(f * h + i * g)
        pairs = ((h0, h.value), (np.zeros_like(h0), h.error))
        value, error = (handed_on(*pair, case.walk("forward", reverse))[0] for pair in pairs)
        assert_within(actual["h_before"], value, error, f"h_before, {what}")


@pytest.mark.parametrize("kernel, case", PARAMS["forward"])
def test_forward(kernel: Kernel, case: Case) -> None:
    ways = [(True, False), (False, True), (True, True), (False, False)]
    for (bias, reverse), kind, threads in zip(ways, INPUT_KINDS, THREADS, strict=True):
        operands = draw_forward(case, kind, kernel.dtype, bias)
        actual = run_forward(kernel, case, operands, reverse, threads=threads)
        what = f"{kind}, bias {bias}, reverse {reverse}, {threads} threads"
        check_forward(case, operands, actual, reverse, what)
        unsaved = run_forward(kernel, case, operands, reverse, saves=False, threads=threads)
        for name, values in unsaved.items():
            assert_same_bits(values, actual[name], f"{name} where nothing is saved, {what}")


RANGES = np.concatenate([np.linspace(-high, high, 1001) for high in (90, 20, 5, 1, 1e-3)])
#: Each row has a z of its own: those of the ranges, and eight special ones.
ACTIVATIONS = Case("lstm", (len(RANGES) + 8,), 1, 17)


def activations(kernel: Kernel, case: Case, z: Array) -> tuple[Array, Array]:
    """The kernel's sigmoid and tanh, by an LSTM whose gates see nothing but one z each."""
    columns = case.gates * case.hidden
    ones, zeros = np.ones(columns, z.dtype), np.zeros((len(z), case.hidden), z.dtype)
    w_hh = np.zeros((columns, case.hidden), z.dtype)
    operands = Forward(z, zeros, zeros, ones, w_hh, None, None)
    gates = run_forward(kernel, case, operands, threads=1)["workspace"].swapaxes(0, 1)
    lanes = np.broadcast_to(gates[:, :, :1], gates.shape)
    assert_same_bits(gates, lanes, "the gates of a row that are all of the same z")
    assert_same_bits(gates[[1, 3]], gates[[0, 0]], "the forget and the output gate")
    return gates[0, :, 0], gates[2, :, 0]


@pytest.mark.parametrize(
    "kernel, case", each_kernel("recurrence", "forward", variants=variants([ACTIVATIONS]))
)
def test_activations(kernel: Kernel, case: Case) -> None:
    dtype = kernel.dtype
    specials = [np.nan, np.inf, -np.inf, 0, -1e4, 1e4, np.finfo(dtype).max, np.finfo(dtype).tiny]
    z = np.concatenate([RANGES, specials]).astype(dtype)
    actual = activations(kernel, case, z)
    with np.errstate(over="ignore"):
        exact = [function(given(z.astype(np.float64), dtype)) for function in (sigmoid, tanh)]
    for name, values, expected in zip(("sigmoid", "tanh"), actual, exact, strict=True):
        assert_within(values, expected.value, expected.error, name)


@pytest.mark.parametrize("kernel, case", PARAMS["backward"])
def test_backward(kernel: Kernel, case: Case) -> None:
    present = [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
    for gradients, threads in zip(present, THREADS, strict=True):
        operands = draw_backward(case, kernel.dtype, *gradients)
        for reverse in (False, True):
            actual = run_backward(kernel, case, operands, reverse, threads=threads)
            what = f"dy, dh_n, dc_n {gradients}, reverse {reverse}, {threads} threads"
            check_backward(case, operands, actual, reverse, what)


@pytest.mark.parametrize(
    "kernel, case",
    each_kernel(
        "recurrence",
        "backward",
        variants=variants([case for case in SMALL if len(case.batch_sizes) == 1]),
    ),
)
def test_backward_computes_what_is_wanted(kernel: Kernel, case: Case) -> None:
    """In a single step, no w_hh means no gradient of h0, and no h0 means no h_before."""
    operands = draw_backward(case, kernel.dtype)
    everything = run_backward(kernel, case, operands, threads=2)
    for missing in ("w_hh", "h0"):
        some = run_backward(kernel, case, operands._replace(**{missing: None}), threads=2)
        for name, values in some.items():
            assert_same_bits(values, everything[name], f"{name} without {missing}")


@pytest.mark.parametrize("kernel, case", PARAMS["forward"] + PARAMS["backward"])
def test_same_threads_same_bits(kernel: Kernel, case: Case) -> None:
    for threads in THREADS[-1:]:
        if kernel.direction == "forward":
            forward = draw_forward(case, "normal", kernel.dtype)
            first, second = (run_forward(kernel, case, forward, threads=threads) for _ in range(2))
        else:
            backward = draw_backward(case, kernel.dtype)
            first, second = (
                run_backward(kernel, case, backward, threads=threads) for _ in range(2)
            )
        for name in first:
            what = f"{name} of the second of two runs with {threads} threads"
            assert_same_bits(second[name], first[name], what)


def assert_others_same(
    case: Case, sequence: int, actual: dict[str, Array], clean: dict[str, Array]
) -> None:
    """The results of all other sequences."""
    of_rows, of_batch = case.sequences() != sequence, np.arange(case.batch) != sequence
    for name, values in actual.items():
        others = of_batch if name in ("h_n", "c_n", "dh0", "dc0") else of_rows
        assert_same_bits(values[others], clean[name][others], f"{name} of other sequences")


@pytest.mark.parametrize("kernel, case", PARAMS["forward"])
def test_forward_keeps_nan_to_its_sequence(kernel: Kernel, case: Case) -> None:
    operands = draw_forward(case, "normal", kernel.dtype)
    clean = run_forward(kernel, case, operands, threads=2)
    for field, place in (("h0", case.batch // 2), ("x", case.rows // 2)):
        values = getattr(operands, field).copy()
        values[place, values.shape[1] // 2 :] = np.nan
        special = operands._replace(**{field: values})
        actual = run_forward(kernel, case, special, threads=2)
        check_forward(case, special, actual, False, f"NaN in {field}")
        sequence = place if field == "h0" else case.sequences()[place]
        assert_others_same(case, sequence, actual, clean)


@pytest.mark.parametrize("kernel, case", PARAMS["backward"])
def test_backward_keeps_nan_to_its_sequence(kernel: Kernel, case: Case) -> None:
    operands = draw_backward(case, kernel.dtype)
    clean = run_backward(kernel, case, operands, threads=2)
    for field, place in (("dh_n", case.batch // 2), ("dy", case.rows // 2)):
        values = getattr(operands, field).copy()
        values[place, case.hidden // 2 :] = np.nan
        special = operands._replace(**{field: values})
        actual = run_backward(kernel, case, special, threads=2)
        check_backward(case, special, actual, False, f"NaN in {field}")
        sequence = place if field == "dh_n" else case.sequences()[place]
        assert_others_same(case, sequence, actual, clean)

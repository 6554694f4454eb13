"""Recurrences: the formulas of csrc/recurrence/recurrence.h.

Each step is held to what one step may be off by: it is computed from what the kernel itself has
left in the step before, so that nothing has to be said about how errors grow from step to step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from estimates import Estimate, given, side_by_side, sigmoid, sum_of, tanh
from numerics import INPUT_KINDS, assert_same_bits, assert_within, generator, wide
from problem import Problem, Results

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
WORKSPACE_BLOCKS = {"lstm": 4, "gru": 4, "rnn_tanh": 0, "rnn_relu": 0}

#: How the names of a forward pass's results begin where nothing is saved for a backward pass.
UNSAVED = "unsaved "


class Forward(NamedTuple):
    """What a forward pass reads, and its direction."""

    x: Array
    h0: Array
    c0: Array | None
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    reverse: bool = False


class Backward(NamedTuple):
    """What a backward pass reads, and the direction of the forward pass."""

    saved_workspace: Array
    saved_state: Array
    w_hh: Array | None
    dy: Array | None
    dh_n: Array | None
    dc_n: Array | None
    h0: Array | None
    reverse: bool = False


@dataclass(frozen=True)
class Recurrence(Problem):
    cell: str
    batch_sizes: tuple[int, ...]
    input: int
    hidden: int
    large: bool = False

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

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Any]]:
        if kernel.direction == "forward":
            ways = [(True, False), (False, True), (True, True), (False, False)]
            for (bias, reverse), kind in zip(ways, INPUT_KINDS, strict=True):
                operands = draw_forward(self, kind, kernel.dtype, bias)
                yield f"{kind}, bias {bias}, reverse {reverse}", operands._replace(reverse=reverse)
            return
        ways = [("dy", "dh_n", "dc_n"), ("dh_n",), ("dy",), ("dc_n",)]
        for i in range(8):  # each way in both directions
            present, reverse = ways[i % 4], (i + i // 4) % 2 == 1
            operands = draw_backward(self, kernel.dtype, present)
            what = f"{' and '.join(present)}, reverse {reverse}"
            yield what, operands._replace(reverse=reverse)

    def run(self, kernel: Kernel, operands: Any, *, threads: int) -> Results:
        *arrays, reverse = operands
        sizes = list(self.batch_sizes) if len(set(self.batch_sizes)) > 1 else None
        options = {**self.shape, "batch_sizes": sizes, "reverse": reverse, "threads": threads}

        def named(names: Iterable[str], flat: Iterable[Array], prefix: str = "") -> Results:
            """Those that the cell has, in rows of a state, or of several."""
            in_blocks, hidden = ("workspace", "u", "u_hh"), self.hidden
            return {
                prefix + name: a.reshape(self.rows, -1, hidden)
                if name in in_blocks
                else a.reshape(-1, hidden)
                for name, a in zip(names, flat, strict=True)
                if a.size
            }

        if isinstance(operands, Backward):
            results = named(("u", "u_hh", "h_before", "dh0", "dc0"), kernel.run(*arrays, **options))
            if operands.w_hh is None:
                del results["dh0"]
            return results
        names = ("y", "h_n", "c_n", "workspace", "state")
        unsaved = kernel.run(*arrays, saves=False, **options)
        results = named(names[:3], unsaved[:3], UNSAVED)
        return results | named(names, kernel.run(*arrays, **options))

    def check(self, kernel: Kernel, operands: Any, results: Results, what: str) -> None:
        if kernel.direction == "forward":
            check_forward(self, operands, results, what)
        else:
            check_backward(self, operands, results, what)


@cache
def draw_forward(case: Recurrence, kind: str, dtype: str, bias: bool = True) -> Forward:
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
    case: Recurrence, dtype: str, present: tuple[str, ...] = ("dy", "dh_n", "dc_n")
) -> Backward:
    """Operands that no forward pass computed, but whose values one could have left.

    Of the gradients, those that are `present`.
    """
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
    drawn = Backward(*(a.astype(dtype) for a in (workspace, state, w_hh, *others)))
    absent = {"dy", "dh_n", "dc_n"} - {*present}
    absent |= {"lstm": set(), "gru": {"dc_n", "h0"}}.get(case.cell, {"dc_n"})
    return drawn._replace(**dict.fromkeys(absent))


def handed_on(first: Array, values: Array, walk: list[slice]) -> tuple[Array, Array]:
    """What each row gets from the step before, where a sequence starts with `first` and a step
    leaves `values`; and what the sequences end with."""
    state, before = first.copy(), np.empty_like(values)
    for rows in walk:
        n = rows.stop - rows.start
        before[rows] = state[:n]
        state[:n] = values[rows]
    return before, state


def step_forward(
    case: Recurrence, operands: Forward, h: Array, c: Array | None
) -> dict[str, Estimate]:
    """h', c' and the workspace of all rows, from the states that the rows start from."""
    dtype = str(operands.x.dtype)
    x, _, _, w_ih, w_hh, b_ih, b_hh = wide(operands[:-1])
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


def check_forward(case: Recurrence, operands: Forward, actual: Results, what: str) -> None:
    walk = case.walk("forward", operands.reverse)
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
    for name in {"y", "h_n", "c_n"} & actual.keys():
        unsaved = UNSAVED + name  # NaN may have another payload, and nothing else differ
        assert_within(actual[unsaved], actual[name], np.zeros(()), f"{unsaved}, {what}")


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


def check_backward(case: Recurrence, operands: Backward, actual: Results, what: str) -> None:
    dtype = str(operands.w_hh.dtype)
    workspace, state, w_hh, dy, dh_n, dc_n, h0 = wide(operands[:-1])
    zeros = np.zeros((case.batch, case.hidden))
    dh, dc = (given(zeros.copy() if d is None else d, dtype) for d in (dh_n, dc_n))
    walk = case.walk("backward", operands.reverse)
    u_hh = actual.get("u_hh", actual["u"]).reshape(case.rows, -1).astype(np.float64)
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
        value, error = (
            handed_on(*pair, case.walk("forward", operands.reverse))[0] for pair in pairs
        )
        assert_within(actual["h_before"], value, error, f"h_before, {what}")


def small_cases() -> list[Recurrence]:
    """Each cell meets every other size of the state, and each of one step, several, and sequences
    of unequal lengths."""
    cases = []
    for shift, cell in enumerate(GATES):
        for i in range(shift % 2, len(SIZES), 2):
            n = SIZES[i - 2]
            batch_sizes = [(n,), (n, n, n), (n, n - n // 3, n - n // 3, 1)][(i + shift) % 3]
            cases.append(Recurrence(cell, batch_sizes, SIZES[i - 5], SIZES[i]))
        cases.append(Recurrence(cell, (2, 1), 0, 5))
    # An LSTM's only step is an operator as well.
    cases += [
        Recurrence("lstm", (SIZES[i - 2],), SIZES[i - 5], SIZES[i]) for i in range(1, len(SIZES), 2)
    ]
    return cases


PROBLEMS = [
    *small_cases(),
    *(
        Recurrence(cell, *sizes, large=True)
        for cell in GATES
        for sizes in (
            *(((30, 30, 17), 40, 70), ((140, 140, 99, 3), 3, 20)),
            *(((2, 2), 260, 20), ((2, 1), 3, 270)),
        )
    ),
    *(
        Recurrence("lstm", *sizes, large=True)
        for sizes in (((1,), 300, 20), ((3,), 20, 270), ((390,), 3, 4))
    ),
]

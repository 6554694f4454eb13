"""Every lstm_cell kernel against the formulas of csrc/lstm_cell/lstm_cell.h in float64."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, Shape, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, assert_within, eps_of, generator, magnitudes, sum_tolerance, wide

#: How many eps a sigmoid or tanh may be off, relative to its value. The vector kernels are off by
#: 1.5; the rest is for other compilers and for NumPy, against which float64 kernels are measured.
ACTIVATION_EPS = 3

#: The vector kernels' sigmoid ends at exp(-87), just above where floats lose precision.
SIGMOID_FLOOR = 2e-38


class Case(NamedTuple):
    batch: int
    input: int
    hidden: int

    def __str__(self) -> str:
        return "x".join(map(str, self))

    @property
    def shape(self) -> Shape:
        return self._asdict()


SMALL = [
    *(Case(SIZES[i - 2], SIZES[i - 5], hidden) for i, hidden in enumerate(SIZES)),
    Case(2, 0, 5),
]
#: Beyond the kernels' blocks of each dimension, to go through more than one.
LARGE = [Case(1, 300, 20), Case(3, 20, 270), Case(390, 3, 4)]


def variants(cases: list[Case]) -> dict[str, tuple[Shape, list[Case]]]:
    return {str(case): (case.shape, [case]) for case in cases}


PARAMS = {
    direction: [
        *each_kernel("lstm_cell", direction, variants=variants(SMALL)),
        *each_kernel("lstm_cell", direction, variants=variants(LARGE), references=False),
    ]
    for direction in ("forward", "backward")
}


class Forward(NamedTuple):
    """What a forward pass reads."""

    x: Array
    h: Array
    c: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class Backward(NamedTuple):
    """What a backward pass reads."""

    c: Array
    gates: Array
    dh_next: Array | None
    dc_next: Array | None


def sigmoid(z: Array, eps: float) -> tuple[Array, Array]:
    """The value and its tolerance."""
    value = 1 / (1 + np.exp(-z))
    return value, ACTIVATION_EPS * eps * value + SIGMOID_FLOOR


def tanh(z: Array, eps: float) -> tuple[Array, Array]:
    """The value and its tolerance."""
    value = np.tanh(z)
    return value, ACTIVATION_EPS * eps * np.abs(value)


@cache
def draw_forward(case: Case, kind: str, dtype: str, bias: bool = True) -> Forward:
    batch, inputs, hidden = case
    rng = generator("lstm_cell", case, kind, dtype)
    drawn = (
        INPUT_KINDS[kind](rng, (batch, inputs)),
        np.tanh(INPUT_KINDS[kind](rng, (batch, hidden))),
        rng.standard_normal((batch, hidden)),
        rng.standard_normal((4 * hidden, inputs)) / (1 + inputs) ** 0.5,
        rng.standard_normal((4 * hidden, hidden)) / hidden**0.5,
        rng.standard_normal(4 * hidden) if bias else None,
        rng.standard_normal(4 * hidden) if bias else None,
    )
    return Forward(*(None if a is None else a.astype(dtype) for a in drawn))


def draw_backward(case: Case, dtype: str, dh: bool, dc: bool) -> Backward:
    """Of a forward pass that did happen, since then the tolerances are about real values."""
    forward = draw_forward(case, "normal", dtype)
    exact = exact_forward(forward, dtype)
    rng = generator("lstm_cell backward", case, dtype)
    dh_next, dc_next = rng.standard_normal((2, case.batch, case.hidden)).astype(dtype)
    return Backward(
        forward.c,
        exact["gates"][0].astype(dtype),
        dh_next if dh else None,
        dc_next if dc else None,
    )


def exact_forward(operands: Forward, dtype: str) -> dict[str, tuple[Array, Array]]:
    """Each result with its tolerance: what enters a formula off by d leaves it off by d times the
    formula's slope, and what is computed there is off by a few eps more."""
    eps = eps_of(dtype)
    x, h, c, w_ih, w_hh, *b = wide(operands)
    biases = [each for each in b if each is not None]
    z = x @ w_ih.T + h @ w_hh.T + sum(biases)
    magnitude = np.abs(x) @ np.abs(w_ih).T + np.abs(h) @ np.abs(w_hh).T + sum(magnitudes(biases))
    length = w_ih.shape[1] + w_hh.shape[1] + len(biases)
    dz = sum_tolerance(magnitude, length, dtype).reshape(len(x), 4, -1)
    z = z.reshape(len(x), 4, -1)

    gates, d_gates = sigmoid(z, eps)
    d_gates += dz / 4
    gates[:, 2], d_gates[:, 2] = tanh(z[:, 2], eps)
    d_gates[:, 2] += dz[:, 2]
    (i, f, g, o), (di, df, dg, do) = gates.swapaxes(0, 1), d_gates.swapaxes(0, 1)

    c_next = f * c + i * g
    dc = df * np.abs(c) + di * np.abs(g) + i * dg + 2 * eps * (np.abs(f * c) + np.abs(i * g))
    t, dt = tanh(c_next, eps)
    dh = do * np.abs(t) + o * (dc + dt) + eps * np.abs(o * t)
    flat = (len(x), -1)
    return {
        "h_next": (o * t, dh),
        "c_next": (c_next, dc),
        "gates": (gates.reshape(flat), d_gates.reshape(flat)),
    }


def exact_backward(operands: Backward, dtype: str) -> dict[str, tuple[Array, Array]]:
    """Each gradient with its tolerance. All are products of what is given but for three sums, c',
    dc and 1 - g^2, in which terms may cancel: errors are relative to the sums of magnitudes."""
    c, gates, dh, dc_next = wide(operands)
    zero = np.zeros_like(c)
    dh, dc_next = zero if dh is None else dh, zero if dc_next is None else dc_next
    i, f, g, o = gates.reshape(len(c), 4, -1).swapaxes(0, 1)
    t = np.tanh(f * c + i * g)
    t_uncancelled = np.abs(f * c) + np.abs(i * g)  # tanh' is at most one

    def formulas(
        dh: Array, dc_next: Array, c: Array, g: Array, t: Array, *, sign: int
    ) -> list[Array]:
        dc = dc_next + dh * o * (1 + sign * t * t)
        return [
            dc * g * i * (1 - i),
            dc * c * f * (1 - f),
            dc * i * (1 + sign * g * g),
            dh * t * o * (1 - o),
            dc * f,
        ]

    exact = formulas(dh, dc_next, c, g, t, sign=-1)
    uncancelled = formulas(*magnitudes([dh, dc_next, c, g, t_uncancelled]), sign=1)
    # tanh of c' enters twice, and at most ten roundings of half an eps follow.
    tolerance = (2 * (ACTIVATION_EPS + 2) + 10 / 2) * eps_of(dtype)
    names = ("dz_i", "dz_f", "dz_g", "dz_o", "dc")
    return {
        name: (value, tolerance * magnitude)
        for name, value, magnitude in zip(names, exact, uncancelled, strict=True)
    }


def run_forward(kernel: Kernel, case: Case, operands: Forward, threads: int) -> dict[str, Array]:
    flat = kernel.run(*operands, threads=threads, **case.shape)
    names = ("h_next", "c_next", "gates")
    return {name: a.reshape(case.batch, -1) for name, a in zip(names, flat, strict=True)}


def run_backward(kernel: Kernel, case: Case, operands: Backward, threads: int) -> dict[str, Array]:
    dz, dc = kernel.run(*operands, threads=threads, **case.shape)
    names = ("dz_i", "dz_f", "dz_g", "dz_o")
    parts = dz.reshape(case.batch, 4, case.hidden).swapaxes(0, 1)
    return dict(zip(names, parts, strict=True)) | {"dc": dc.reshape(case.batch, -1)}


@pytest.mark.parametrize("kernel, case", PARAMS["forward"])
def test_forward(kernel: Kernel, case: Case) -> None:
    for kind, threads in zip(INPUT_KINDS, THREADS, strict=True):
        for bias in (True, False):
            operands = draw_forward(case, kind, kernel.dtype, bias)
            actual = run_forward(kernel, case, operands, threads)
            for name, (expected, tolerance) in exact_forward(operands, kernel.dtype).items():
                what = f"{name}, {kind}, bias {bias}, {threads} threads"
                assert_within(actual[name], expected, tolerance, what)


@pytest.mark.parametrize("kernel, case", PARAMS["backward"])
def test_backward(kernel: Kernel, case: Case) -> None:
    given = [(True, True), (True, False), (False, True), (False, False)]
    for (dh, dc), threads in zip(given, THREADS, strict=True):
        operands = draw_backward(case, kernel.dtype, dh, dc)
        actual = run_backward(kernel, case, operands, threads)
        for name, (expected, tolerance) in exact_backward(operands, kernel.dtype).items():
            what = f"{name}, dh_next {dh}, dc_next {dc}, {threads} threads"
            assert_within(actual[name], expected, tolerance, what)


@pytest.mark.parametrize("kernel, case", PARAMS["forward"] + PARAMS["backward"])
def test_same_threads_same_bits(kernel: Kernel, case: Case) -> None:
    for threads in THREADS[-1:]:
        if kernel.direction == "forward":
            forward = draw_forward(case, "normal", kernel.dtype)
            first, second = (run_forward(kernel, case, forward, threads) for _ in range(2))
        else:
            backward = draw_backward(case, kernel.dtype, True, True)
            first, second = (run_backward(kernel, case, backward, threads) for _ in range(2))
        for name in first:
            what = f"{name} of the second of two runs with {threads} threads"
            assert_same_bits(second[name], first[name], what)


def activations(kernel: Kernel, z: Array) -> tuple[Array, Array]:
    """The kernel's sigmoid and tanh, by cells whose gates see nothing but one z each."""
    case = Case(len(z), 1, 17)
    ones, zeros = np.ones(4 * case.hidden, z.dtype), np.zeros((len(z), case.hidden), z.dtype)
    w_hh = np.zeros((4 * case.hidden, case.hidden), z.dtype)
    operands = Forward(z, zeros, zeros, ones, w_hh, None, None)
    gates = run_forward(kernel, case, operands, threads=1)["gates"]
    gates = gates.reshape(len(z), 4, case.hidden).swapaxes(0, 1)
    lanes = np.broadcast_to(gates[:, :, :1], gates.shape)
    assert_same_bits(gates, lanes, "the gates of a row that are all of the same z")
    assert_same_bits(gates[[1, 3]], gates[[0, 0]], "the forget and the output gate")
    return gates[0, :, 0], gates[2, :, 0]


@pytest.mark.parametrize("kernel, case", [p for p in PARAMS["forward"] if str(SMALL[0]) in p.id])
def test_activations(kernel: Kernel, case: Case) -> None:
    dtype, eps = kernel.dtype, eps_of(kernel.dtype)
    ranges = [np.linspace(-high, high, 1001) for high in (90, 20, 5, 1, 1e-3)]
    specials = [np.nan, np.inf, -np.inf, 0, -1e4, 1e4, np.finfo(dtype).max, np.finfo(dtype).tiny]
    z = np.concatenate([*ranges, specials]).astype(dtype)
    actual = activations(kernel, z)
    with np.errstate(over="ignore"):
        exact = [function(z.astype(np.float64), eps) for function in (sigmoid, tanh)]
    for name, values, (expected, tolerance) in zip(("sigmoid", "tanh"), actual, exact, strict=True):
        assert_within(values, expected, tolerance, name)


@pytest.mark.parametrize("kernel, case", PARAMS["forward"])
def test_nan_stays_in_its_row(kernel: Kernel, case: Case) -> None:
    operands = draw_forward(case, "normal", kernel.dtype)
    h = operands.h.copy()
    h[case.batch // 2, case.hidden // 2] = np.nan
    clean = run_forward(kernel, case, operands, threads=2)
    for name, values in run_forward(kernel, case, operands._replace(h=h), threads=2).items():
        expected = clean[name].copy()
        expected[case.batch // 2] = np.nan
        np.testing.assert_array_equal(values, expected, err_msg=name)

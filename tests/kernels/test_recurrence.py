"""Recurrences, beside what test_every_kernel.py shows: activations, NaN, what is not wanted."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import Array, Kernel
from estimates import given, sigmoid, tanh
from numerics import assert_same_bits, assert_within
from problem import each_kernel
from recurrence import PROBLEMS, Forward, Recurrence

ONE_STEP = [problem for problem in PROBLEMS if len(problem.batch_sizes) == 1]

RANGES = np.concatenate([np.linspace(-high, high, 1001) for high in (90, 20, 5, 1, 1e-3)])
#: Each row has a z of its own: those of the ranges, and eight special ones.
ACTIVATIONS = Recurrence("lstm", (len(RANGES) + 8,), 1, 17)


def activations(kernel: Kernel, problem: Recurrence, z: Array) -> tuple[Array, Array]:
    """The kernel's sigmoid and tanh, by an LSTM whose gates see nothing but one z each."""
    columns = problem.gates * problem.hidden
    ones, zeros = np.ones(columns, z.dtype), np.zeros((len(z), problem.hidden), z.dtype)
    w_hh = np.zeros((columns, problem.hidden), z.dtype)
    operands = Forward(z, zeros, zeros, ones, w_hh, None, None)
    gates = problem.run(kernel, operands, threads=1)["workspace"].swapaxes(0, 1)
    lanes = np.broadcast_to(gates[:, :, :1], gates.shape)
    assert_same_bits(gates, lanes, "the gates of a row that are all of the same z")
    assert_same_bits(gates[[1, 3]], gates[[0, 0]], "the forget and the output gate")
    return gates[0, :, 0], gates[2, :, 0]


@pytest.mark.parametrize(
    "kernel, problem", each_kernel("recurrence", "forward", problems=[ACTIVATIONS])
)
def test_activations(kernel: Kernel, problem: Recurrence) -> None:
    dtype = kernel.dtype
    specials = [np.nan, np.inf, -np.inf, 0, -1e4, 1e4, np.finfo(dtype).max, np.finfo(dtype).tiny]
    z = np.concatenate([RANGES, specials]).astype(dtype)
    actual = activations(kernel, problem, z)
    with np.errstate(over="ignore"):
        exact = [function(given(z.astype(np.float64), dtype)) for function in (sigmoid, tanh)]
    for name, values, expected in zip(("sigmoid", "tanh"), actual, exact, strict=True):
        assert_within(values, expected.value, expected.error, name)


@pytest.mark.parametrize(
    "kernel, problem", each_kernel("recurrence", "backward", problems=ONE_STEP)
)
def test_backward_computes_what_is_wanted(kernel: Kernel, problem: Recurrence) -> None:
    """In a single step, no w_hh means no gradient of h0, and no h0 means no h_before."""
    _, operands = next(problem.draws(kernel))
    everything = problem.run(kernel, operands, threads=2)
    for missing in ("w_hh", "h0"):
        some = problem.run(kernel, operands._replace(**{missing: None}), threads=2)
        for name, values in some.items():
            assert_same_bits(values, everything[name], f"{name} without {missing}")


@pytest.mark.parametrize("kernel, problem", each_kernel("recurrence", problems=PROBLEMS))
def test_nan_stays_in_its_sequence(kernel: Kernel, problem: Recurrence) -> None:
    sequences = {  # of rows, and of states
        problem.rows: np.concatenate([np.arange(n) for n in problem.batch_sizes]),
        problem.batch: np.arange(problem.batch),
    }
    _, operands = next(problem.draws(kernel))
    clean = problem.run(kernel, operands, threads=2)
    for field in ("h0", "x") if kernel.direction == "forward" else ("dh_n", "dy"):
        values = getattr(operands, field).copy()
        place = len(values) // 2
        values[place, values.shape[1] // 2 :] = np.nan
        special = operands._replace(**{field: values})
        actual = problem.run(kernel, special, threads=2)
        problem.check(kernel, special, actual, f"NaN in {field}")
        for name, result in actual.items():
            others = sequences[len(result)] != sequences[len(values)][place]
            assert_same_bits(result[others], clean[name][others], f"{name} of other sequences")

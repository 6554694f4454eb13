"""The epilogue alone, beside what test_every_kernel.py shows: accuracy, special values, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bindings import Array, Kernel, _kernels
from finish import ACTIVATIONS, LARGEST, Epilogue, Finish, Operands, allowed
from numerics import assert_same_bits, assert_within
from problem import each_kernel

APPROXIMATE = [name for name, activation in ACTIVATIONS.items() if not activation.is_exact]


each = pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(p.values[0], id=p.values[0].name, marks=p.marks)
        for p in each_kernel("finish", problems=[LARGEST])
    ],
)


def test_the_list_is_that_of_the_kernels() -> None:
    assert _kernels.finish.activations == [*ACTIVATIONS]


def run(kernel: Kernel, case: Finish, x: Array, activation: str, **changed: float) -> Array:
    operands = Operands(x, None, None, Epilogue(activation))
    return case.run(kernel, operands, threads=2, **changed)["y"]


def samples(dtype: str) -> Array:
    """Numbers of all magnitudes, and those where activations bend once more."""
    bits = np.arange(1, np.float32(150).view(np.int32), 8191, dtype=np.int32)
    magnitudes = bits.view(np.float32)
    return np.concatenate([magnitudes, -magnitudes, np.linspace(-16, 16, 200_001)]).astype(dtype)


@each
@pytest.mark.parametrize("activation", APPROXIMATE)
def test_accuracy(kernel: Kernel, activation: str) -> None:
    x = samples(kernel.dtype)
    actual = run(kernel, Finish(1, len(x)), x, activation)
    with np.errstate(over="ignore"):
        exact = ACTIVATIONS[activation].of(x.astype(np.float64))
    assert_within(actual[0], exact, allowed(activation, exact, kernel.dtype), "y")


#: What native PyTorch computes of each, but for rounding.
SPECIALS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-40, -1e-40)
EXPECTED = {
    "none": SPECIALS,
    "relu": (np.nan, np.inf, 0.0, 0.0, -0.0, 1e30, 0.0, 1e-40, 0.0),
    "clamp": (np.nan, 6, -0.5, 0.0, -0.0, 6, -0.5, 1e-40, -1e-40),
    "leaky_relu": (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -0.125e30, 1e-40, -0.125e-40),
    "sigmoid": (np.nan, 1, 0.0, 0.5, 0.5, 1, 0.0, 0.5, 0.5),
    "tanh": (np.nan, 1, -1, 0.0, -0.0, 1, -1, 1e-40, -1e-40),
    "silu": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "hardswish": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "hardsigmoid": (np.nan, 1, 0.0, 0.5, 0.5, 1, 0.0, 0.5, 0.5),
    "gelu": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
    "gelu_tanh": (np.nan, np.inf, np.nan, 0.0, -0.0, 1e30, -0.0, 5e-41, -5e-41),
}


@each
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_special_values(kernel: Kernel, activation: str) -> None:
    """Each of them in every lane, in whole and in partial vectors."""
    case = Finish(len(SPECIALS), LARGEST.columns)
    rows = np.arange(case.rows)[:, None] + np.arange(case.columns)
    x = np.array(SPECIALS, kernel.dtype)[rows % len(SPECIALS)]
    expected = np.array(EXPECTED[activation], kernel.dtype)[rows % len(SPECIALS)]
    actual = run(kernel, case, x, activation)
    if kernel.dtype == "float64":  # 1e-40 is an ordinary number there
        assert_within(actual, expected.astype(np.float64), np.abs(expected) * 1e-15, "y")
    nan = np.isnan(expected)
    assert (np.isnan(actual) == nan).all()
    if kernel.dtype == "float32":
        assert_same_bits(np.where(nan, 0, actual), np.where(nan, 0, expected), "y")


@each
def test_crossed_bounds_give_the_upper(kernel: Kernel) -> None:
    x = np.linspace(-3, 3, LARGEST.rows * LARGEST.columns, dtype=kernel.dtype)
    y = run(kernel, LARGEST, x, "clamp", low=2, high=-1)
    assert (y == -1).all()


@pytest.mark.parametrize(
    "epilogue, error, message",
    [
        ({"activation": "rely"}, ValueError, "there is no activation 'rely'"),
        ({"hihg": 6}, TypeError, "an epilogue has no field 'hihg'"),
    ],
)
def test_wrong_epilogues(epilogue: dict[str, Any], error: type[Exception], message: str) -> None:
    x = np.zeros(1, np.float32)
    with pytest.raises(error, match=message):
        _kernels.finish.forward(
            "finish_reference_f32", x, None, None, epilogue, **Finish(1, 1).shape
        )


def test_a_bias_has_one_axis() -> None:
    with pytest.raises(ValueError, match="one of bias_row and bias_column may be 1"):
        _kernels.finish.cost("finish_reference_f32", **Finish(1, 1, 1, 1).shape)

"""adaptive_avg_pool2d and adaptive_max_pool2d: sizes in any form, exact means, native's errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.ops.bad_calls import check_operator_error
from tests.ops.pools import (
    check_delegated,
    check_infinities_stay_in_their_windows,
    check_same_as_native,
    check_unbatched_results,
    image_of,
)
from tests.ops.support import LAYOUTS

AVG, MAX = "adaptive_avg_pool2d", "adaptive_max_pool2d"
IMAGE = image_of((2, 4, 6, 6))
INDICES = torch.zeros(2, 4, 3, 3, dtype=torch.int64)

each_pool = pytest.mark.parametrize("op", (AVG, MAX))

# ------------------------------------------------------------------------------------- values


def test_unbatched_results() -> None:
    check_unbatched_results(AVG, 2)


def test_infinities_stay_in_their_windows() -> None:
    check_infinities_stay_in_their_windows(AVG, (3, 8))
    check_infinities_stay_in_their_windows(AVG, (4, 3))


@pytest.mark.parametrize("size", (1, 2, 3), ids=str)
def test_whole_numbers_are_exact(size: int) -> None:
    """Windows of 6x6, 3x3 and 2x2."""
    image = 36.0 * torch.arange(2 * 5 * 36).view(2, 5, 6, 6)
    check_same_as_native(AVG, image, size)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("position", (-1, 36, 2**40))
def test_backward_ignores_positions_outside(position: int, layout: str) -> None:
    indices = torch.full((2, 4, 3, 3), position).contiguous(memory_format=LAYOUTS[layout])
    result = torch.ops.cnnext.adaptive_max_pool2d_backward(torch.ones(2, 4, 3, 3), indices, 6, 6)
    assert torch.equal(result, torch.zeros(2, 4, 6, 6))


# ---------------------------------------------------------------------- forms of sizes, errors

#: What an adaptive pool may be asked for, if not always of every image.
SIZES: dict[str, Any] = {
    "int": 3,
    "pair": (2, 5),
    "list": [2, 5],
    "torch_size": torch.Size((2, 5)),
    "none_first": (None, 2),
    "none_last": [2, None],
    "both_none": (None, None),
    "numpy": np.int64(2),
    "numpy_pair": (np.int64(2), np.uint8(3)),
    "tensors": (torch.tensor(2), torch.tensor(3)),
    "tensor": torch.tensor(2),
    "zero": 0,
    "zero_first": (0, 2),
    "none": None,
    "negative": -1,
    "negative_last": (2, -2),
    "float": 1.5,
    "floats": (1.5, 2),
    "bool": True,
    "text": "2",
    "one_in_a_tuple": (2,),
    "three": (2, 2, 2),
    "empty": (),
    "above_32_bits": 2**62,
    "above_64_bits": 2**64,
}

#: Images that a pool takes, and others.
SHAPES = (
    *((), (6,), (6, 6), (1, 2, 4, 6, 6), (2, 0, 6, 6), (2, 4, 0, 6)),
    *((0, 6, 6), (4, 6, 0), (0, 4, 6, 6), (0, 4, 0, 6), (4, 6, 6), (2, 4, 6, 6)),
)


@pytest.mark.parametrize("gradient", (False, True), ids=("no_grad", "grad"))
@pytest.mark.parametrize("size", SIZES)
@each_pool
def test_forms_of_size(op: str, size: str, gradient: bool) -> None:
    image = torch.ones(2, 4, 6, 6, requires_grad=gradient)
    check_delegated(op, lambda pool: pool(image, SIZES[size]), f"output_size={SIZES[size]!r}")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_pool
def test_shapes(op: str, shape: tuple[int, ...]) -> None:
    image = torch.ones(shape)
    check_delegated(op, lambda pool: pool(image, 2), f"input.shape={list(shape)}")


OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "avg_input_3d": ("adaptive_avg_pool2d_forward", (IMAGE[0], 3, 3), "input"),
    "avg_input_half": ("adaptive_avg_pool2d_forward", (IMAGE.half(), 3, 3), "float32"),
    "avg_output_zero": ("adaptive_avg_pool2d_forward", (IMAGE, 0, 3), "output"),
    "avg_output_negative": ("adaptive_avg_pool2d", (IMAGE, 3, -3), "output"),
    "avg_output_huge": ("adaptive_avg_pool2d", (IMAGE, 2**62, 1), "too large"),
    "avg_gradient_3d": ("adaptive_avg_pool2d_backward", (IMAGE[0], 6, 6, False), "grad_output"),
    "avg_input_zero": ("adaptive_avg_pool2d_backward", (IMAGE, 0, 6, False), "input"),
    "avg_input_huge": ("adaptive_avg_pool2d_backward", (IMAGE, 2**62, 6, True), "too large"),
    "max_input_3d": ("adaptive_max_pool2d_forward", (IMAGE[0], 3, 3, True), "input"),
    "max_input_half": ("adaptive_max_pool2d_forward", (IMAGE.half(), 3, 3, True), "float32"),
    "max_output_zero": ("adaptive_max_pool2d_forward", (IMAGE, 0, 3, False), "output"),
    "max_output_huge": ("adaptive_max_pool2d", (IMAGE, 2**62, 1, True), "too large"),
    "max_gradient_3d": ("adaptive_max_pool2d_backward", (IMAGE[0], INDICES, 6, 6), "grad_output"),
    "max_gradient_size": ("adaptive_max_pool2d_backward", (IMAGE, INDICES, 6, 6), "grad_output"),
    "max_indices_dtype": ("adaptive_max_pool2d_backward", (IMAGE, IMAGE, 6, 6), "indices"),
    "max_input_negative": (
        "adaptive_max_pool2d_backward",
        (INDICES.float(), INDICES, -6, 6),
        "input",
    ),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)

"""avg_pool2d: what stays in a window, and native's errors."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch._prims_common import suggest_memory_format

from cnnext.ops.common.pooling import prefers_channels_last
from tests.ops.bad_calls import check_operator_error
from tests.ops.pools import (
    check_delegated,
    check_infinities_stay_in_their_windows,
    check_unbatched_results,
    image_of,
)

OP = "avg_pool2d"
IMAGE = image_of((2, 4, 6, 6))


def test_unbatched_results() -> None:
    check_unbatched_results(OP, 1)


def test_infinities_stay_in_their_windows() -> None:
    check_infinities_stay_in_their_windows(OP, (2, 4))
    check_infinities_stay_in_their_windows(OP, 3, 1, 1)


# ------------------------------------------------------------------------------------- errors

BAD: dict[str, dict[str, Any]] = {
    "kernel_zero": {"kernel_size": 0},
    "kernel_negative": {"kernel_size": (2, -1)},
    "kernel_float": {"kernel_size": 2.0},
    "kernel_bool": {"kernel_size": True},
    "kernel_none": {"kernel_size": None},
    "kernel_text": {"kernel_size": "2"},
    "kernel_of_three": {"kernel_size": (2, 2, 2)},
    "kernel_of_none": {"kernel_size": ()},
    "kernel_above_image": {"kernel_size": 7},
    "kernel_above_32_bits": {"kernel_size": 2**31},
    "stride_zero": {"stride": 0},
    "stride_negative": {"stride": -1},
    "stride_of_three": {"stride": (1, 1, 1)},
    "stride_above_32_bits": {"stride": 2**31},
    "padding_above_half": {"padding": 2},
    "padding_negative": {"padding": (0, -1)},
    "padding_none": {"padding": None},
    "ceil_mode_int": {"ceil_mode": 1},
    "count_include_pad_none": {"count_include_pad": None},
    "divisor_zero": {"divisor_override": 0},
    "divisor_float": {"divisor_override": 2.0},
    "divisor_bool": {"divisor_override": True},
    "divisor_above_64_bits": {"divisor_override": 2**63},
    "divisor_lowest": {"divisor_override": -(2**63)},
}


@pytest.mark.parametrize("gradient", (False, True), ids=("no_grad", "grad"))
@pytest.mark.parametrize("bad", BAD)
def test_bad_options(bad: str, gradient: bool) -> None:
    (name, value), *_ = BAD[bad].items()
    image = IMAGE.clone().requires_grad_(gradient)
    call = {"kernel_size": 3, **BAD[bad]}
    check_delegated(OP, lambda pool: pool(image, **call), f"{name}={value!r}")


@pytest.mark.parametrize(
    "shape",
    ((), (6,), (6, 6), (1, 2, 4, 6, 6), (2, 0, 6, 6), (2, 4, 0, 6), (0, 6, 6), (0, 4, 6, 6)),
    ids=str,
)
def test_other_shapes(shape: tuple[int, ...]) -> None:
    check_delegated(OP, lambda pool: pool(torch.ones(shape), 2), f"input.shape={list(shape)}")


GEOMETRY = (2, 2, 2, 2, 0, 0, True, 0)
OPERATORS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "input_3d": ("avg_pool2d_forward", (IMAGE[0], 3, 3, *GEOMETRY), "input"),
    "input_half": ("avg_pool2d_forward", (IMAGE.half(), 3, 3, *GEOMETRY), "float32"),
    "output_too_large": ("avg_pool2d_forward", (IMAGE, 4, 3, *GEOMETRY), "output (4 x 3)"),
    "output_zero": ("avg_pool2d_forward", (IMAGE, 0, 3, *GEOMETRY), "output"),
    "kernel": ("avg_pool2d", (IMAGE, 3, 3, 0, *GEOMETRY[1:]), "kernel_size"),
    "stride": ("avg_pool2d", (IMAGE, 3, 3, 2, 2, 0, 2, 0, 0, True, 0), "stride"),
    "padding": ("avg_pool2d", (IMAGE, 3, 3, 2, 2, 2, 2, 2, 0, True, 0), "padding"),
    "stride_huge": ("avg_pool2d", (IMAGE, 1, 1, 2, 2, 2**62, 2, 0, 0, True, 0), "stride"),
    "gradient_3d": ("avg_pool2d_backward", (IMAGE[0], 12, 12, False, *GEOMETRY), "grad_output"),
    "input_too_small": ("avg_pool2d_backward", (IMAGE, 3, 12, False, *GEOMETRY), "output"),
    "input_negative": ("avg_pool2d_backward", (IMAGE, -12, 12, False, *GEOMETRY), "input"),
}


@pytest.mark.parametrize("bad", OPERATORS)
def test_operators(bad: str) -> None:
    name, arguments, mentioned = OPERATORS[bad]
    check_operator_error(name, arguments, mentioned)


def test_layout_that_is_preferred(seed: int) -> None:
    """As torch tells it, of sizes of one and zero and of strides in any order too."""
    rng = random.Random(seed)
    for _ in range(2000):
        size = [rng.choice((1, 1, 2, 3)) for _ in range(rng.choice((3, 4, 4, 4)))]
        input = torch.empty_strided(size, [rng.choice((0, 1, 1, 2, 3, 6, 12)) for _ in size])
        expected = suggest_memory_format(input) is torch.channels_last
        assert prefers_channels_last(input) == expected, (size, input.stride())
    assert not prefers_channels_last(torch.empty(2, 0, 3, 3))

"""What the tests of the pools share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.testing.errors import make_input
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    NATIVE,
    assert_same_sums,
    generator_for,
    order_in_memory,
)


def image_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return make_input("normal", shape, generator_for("pool", shape), dtype)


def full_of(values: tuple[float, ...], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Drawn from few values, so that every window has ties among them."""
    choices = torch.randint(len(values), shape, generator=generator_for(values, shape))
    return torch.tensor(values, dtype=dtype)[choices]


#: Beside the input classes: what decides ties, and what wins over or loses to everything.
SPECIAL = {
    "zeros_of_both_signs": (0.0, -0.0),
    "few_values": (1.0, 2.0, 2.0, 3.0),
    "negative": (-1.0, -2.0, -3.0),
    "nan": (math.nan, 1.0, 2.0, math.inf),
    "all_nan": (math.nan,),
    "minus_infinity": (-math.inf, -math.inf, -math.inf, -1.0),
    "all_minus_infinity": (-math.inf,),
    "infinities": (math.inf, -math.inf, math.nan),
}


def check_same_as_native(op: str, image: Tensor, *arguments: Any, **options: Any) -> None:
    """Values, sizes and order in memory; of calls in which nothing may be rounded."""
    ours, native = (
        getattr(library, op)(image, *arguments, **options) for library in (CNNEXT, NATIVE)
    )
    torch.testing.assert_close(ours, native, rtol=0, atol=0, equal_nan=True)
    assert order_in_memory(ours) == order_in_memory(native)


def check_unbatched_results(op: str, *arguments: Any) -> None:
    """No views, and contiguous, as native's."""
    with torch.no_grad():
        output = getattr(CNNEXT, op)(image_of((3, 5, 5)), *arguments)
    output.mul_(torch.ones(output.shape, requires_grad=True))  # not of a view made in no_grad mode
    pixels = image_of((1, 1, 5)).permute(2, 0, 1)
    for image in (image_of((3, 5, 5)), pixels):
        ours, native = (getattr(library, op)(image, *arguments) for library in (CNNEXT, NATIVE))
        assert not ours._is_view()
        assert ours.stride() == native.stride()


def check_infinities_stay_in_their_windows(op: str, *arguments: Any) -> None:
    """Sums of one window must not reach another by way of a shared partial sum."""
    for layout in LAYOUTS.values():
        for special in (torch.inf, -torch.inf, torch.nan):
            image = torch.ones(2, 20, 9, 40).contiguous(memory_format=layout)
            image[0, 3, 4, 17] = image[1, 19, 8, 39] = special
            check_same_as_native(op, image, *arguments)


def check_delegated(op: str, call: Callable[[Any], Any], mentioned: str) -> None:
    """cnnext raises what native raises, with the argument and its value; or both take it."""
    try:
        native = call(getattr(NATIVE, op))
    except Exception as error:
        with pytest.raises(type(error)) as ours:
            call(getattr(CNNEXT, op))
        assert ours.type is type(error)
        assert mentioned in str(ours.value), ours.value
    else:
        assert_same_sums(call(getattr(CNNEXT, op)), native)

"""Images that decide ties and extremes, for the tests of the max pools."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.ops.support import generator_for

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


def full_of(values: tuple[float, ...], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Drawn from few values, so that every window has ties among them."""
    choices = torch.randint(len(values), shape, generator=generator_for(values, shape))
    return torch.tensor(values, dtype=dtype)[choices]

"""adaptive_avg_pool2d on CUDA: errors below what sums of so many terms can lose."""

from __future__ import annotations

import math

import pytest
import torch

from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.specs.adaptive_avg_pool2d import EDGE_ADAPTIVE_POOLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import Terms, check_deterministic, check_rounding
from tests.ops import problems
from tests.ops.support import LAYOUTS, VIEWS_4D

#: Uneven windows, over several blocks of threads.
MORE = AdaptivePool2dCase("several_blocks", 2, 5, 17, 19, (8, 13))
CASES = (*EDGE_ADAPTIVE_POOLS, MORE)


def terms_of(case: AdaptivePool2dCase) -> Terms:
    """Of a window, and of the windows that hold an element; quotients are rounded as well."""
    sizes = list(zip((case.h_in, case.w_in), case.output_size, strict=True))
    window = math.prod(-(-size // out) + 1 for size, out in sizes)
    covering = math.prod(-(-out // size) + 1 for size, out in sizes)
    return (window + 1,), (covering + 1,)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounding(
    case: AdaptivePool2dCase, dtype: torch.dtype, layout: str, device: Device
) -> None:
    problem = problems.adaptive_avg_pool2d(case).in_layout(layout)
    check_rounding(device, problem, dtype, lambda _: terms_of(case))


@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, device: Device) -> None:
    problem = problems.adaptive_avg_pool2d(MORE).mapped_images(VIEWS_4D[view])
    check_rounding(device, problem, torch.float32, lambda _: terms_of(MORE))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_twice(layout: str, device: Device) -> None:
    check_deterministic(device, problems.adaptive_avg_pool2d(MORE).in_layout(layout))

"""avg_pool2d on CUDA: errors below what sums of so many terms can lose."""

from __future__ import annotations

import math

import pytest
import torch

from cnnext.testing.cases import AvgPool2dCase
from cnnext.testing.specs.avg_pool2d import EDGE_AVG_POOLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import Terms, check_deterministic, check_rounding
from tests.ops import problems
from tests.ops.support import LAYOUTS, VIEWS_4D, Problem

#: Windows that meet in many ways, over several blocks of threads.
MORE = AvgPool2dCase("several_blocks", 2, 5, 17, 19, (3, 4), (2, 1), (1, 2), True, False)
CASES = (*EDGE_AVG_POOLS, MORE)


def terms_of(case: AvgPool2dCase) -> Terms:
    """Of a window, and of the windows that hold an element; quotients are rounded as well."""
    window = math.prod(case.kernel_size)
    covering = math.prod(
        -(-kernel // stride) for kernel, stride in zip(case.kernel_size, case.stride, strict=True)
    )
    return (window + 1,), (covering + 1,)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounding(case: AvgPool2dCase, dtype: torch.dtype, layout: str, device: Device) -> None:
    problem = problems.avg_pool2d(case).in_layout(layout)
    check_rounding(device, problem, dtype, lambda _: terms_of(case))


@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, device: Device) -> None:
    problem: Problem = problems.avg_pool2d(MORE).mapped_images(VIEWS_4D[view])
    check_rounding(device, problem, torch.float32, lambda _: terms_of(MORE))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_twice(layout: str, device: Device) -> None:
    check_deterministic(device, problems.avg_pool2d(MORE).in_layout(layout))

"""max_pool2d on CUDA: values and indices are native's in every bit, gradients of integers exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.testing.cases import MaxPool2dCase
from cnnext.testing.specs.max_pool2d import EDGE_POOLS, POOLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import assert_same, check_deterministic, check_exact
from tests.ops import problems
from tests.ops.pools import SPECIAL, full_of
from tests.ops.support import CNNEXT, LAYOUTS, NATIVE, VIEWS_4D, order_in_memory

#: Windows that meet in many ways, over several blocks of threads.
MORE = (
    MaxPool2dCase("dilated_and_overlapping", 2, 3, 11, 9, (3, 2), (2, 1), (1, 1), (2, 3)),
    MaxPool2dCase("several_blocks", 2, 5, 17, 19, (3, 3), (2, 2), (1, 1)),
)
CASES = (*EDGE_POOLS, *MORE, *POOLS[:2])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_integers(case: MaxPool2dCase, dtype: torch.dtype, layout: str, device: Device) -> None:
    check_exact(device, problems.max_pool2d(case).in_layout(layout), dtype)


def check_values_and_indices(device: Device, image: Tensor, **kwargs: Any) -> None:
    values, indices = NATIVE.max_pool2d(image, **kwargs, return_indices=True)
    with device.in_use():
        ours, our_indices = CNNEXT.max_pool2d(device.tensor(image), **kwargs, return_indices=True)
    assert_same(ours.cpu(), values)
    assert torch.equal(our_indices.cpu(), indices)
    assert order_in_memory(ours) == order_in_memory(our_indices) == order_in_memory(values)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("special", SPECIAL)
def test_ties_and_special_values(
    special: str, dtype: torch.dtype, layout: str, device: Device
) -> None:
    for case in CASES:
        image = full_of(SPECIAL[special], case.input_shape, dtype)
        image = image.contiguous(memory_format=LAYOUTS[layout])
        check_values_and_indices(device, image, **case.kwargs())


@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, device: Device) -> None:
    problem = problems.max_pool2d(MORE[0]).mapped_images(VIEWS_4D[view])
    check_exact(device, problem, torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_twice(layout: str, device: Device) -> None:
    check_deterministic(device, problems.max_pool2d(MORE[0]).in_layout(layout))

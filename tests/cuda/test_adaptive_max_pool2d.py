"""adaptive_max_pool2d on CUDA: values and indices are native's, gradients of integers exact."""

from __future__ import annotations

import pytest
import torch

from cnnext.testing.cases import AdaptivePool2dCase
from cnnext.testing.specs.adaptive_avg_pool2d import EDGE_ADAPTIVE_POOLS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import assert_same, check_deterministic, check_exact
from tests.ops import problems
from tests.ops.pools import SPECIAL, full_of
from tests.ops.support import CNNEXT, LAYOUTS, NATIVE, VIEWS_4D, order_in_memory

#: Uneven windows, over several blocks of threads.
MORE = AdaptivePool2dCase("several_blocks", 2, 5, 17, 19, (8, 13))
CASES = (*EDGE_ADAPTIVE_POOLS, MORE)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_integers(
    case: AdaptivePool2dCase, dtype: torch.dtype, layout: str, device: Device
) -> None:
    check_exact(device, problems.adaptive_max_pool2d(case).in_layout(layout), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("special", SPECIAL)
def test_ties_and_special_values(
    special: str, dtype: torch.dtype, layout: str, device: Device
) -> None:
    for case in (*EDGE_ADAPTIVE_POOLS, MORE):
        image = full_of(SPECIAL[special], case.input_shape, dtype)
        image = image.contiguous(memory_format=LAYOUTS[layout])
        values, indices = NATIVE.adaptive_max_pool2d(image, case.output_size, True)
        with device.in_use():
            ours, our_indices = CNNEXT.adaptive_max_pool2d(
                device.tensor(image), case.output_size, True
            )
        assert_same(ours.cpu(), values)
        assert torch.equal(our_indices.cpu(), indices)
        assert order_in_memory(ours) == order_in_memory(our_indices) == order_in_memory(values)


@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, device: Device) -> None:
    problem = problems.adaptive_max_pool2d(MORE).mapped_images(VIEWS_4D[view])
    check_exact(device, problem, torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_twice(layout: str, device: Device) -> None:
    check_deterministic(device, problems.adaptive_max_pool2d(MORE).in_layout(layout))

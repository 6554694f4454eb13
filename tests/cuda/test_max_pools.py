"""Max-pools on CUDA: values and indices are native's in every bit, whatever ties and wins."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnnext.testing.specs import SPECS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import assert_same
from tests.ops.pools import SPECIAL, full_of
from tests.ops.support import CNNEXT, LAYOUTS, NATIVE, order_in_memory


@pytest.mark.parametrize("op", ("adaptive_max_pool2d", "max_pool2d"))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("special", SPECIAL)
def test_ties_and_special_values(
    special: str, dtype: torch.dtype, layout: str, op: str, device: Device
) -> None:
    case: Any
    for case in (*SPECS[op].edge_cases, *SPECS[op].gpu_cases):
        image = full_of(SPECIAL[special], case.input_shape, dtype)
        image = image.contiguous(memory_format=LAYOUTS[layout])
        kwargs = {**case.kwargs(), "return_indices": True}
        values, indices = getattr(NATIVE, op)(image, **kwargs)
        with device.in_use():
            ours, our_indices = getattr(CNNEXT, op)(device.tensor(image), **kwargs)
        assert_same(ours.cpu(), values)
        assert torch.equal(our_indices.cpu(), indices)
        assert order_in_memory(ours) == order_in_memory(our_indices) == order_in_memory(values)

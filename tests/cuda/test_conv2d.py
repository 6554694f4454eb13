"""conv2d on CUDA, beside what test_operators.py shows: rounding, infinities, gradients' views."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import EDGE, GPU, LENET5
from cnnext.testing.errors import INPUT_KINDS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import check_rounding
from tests.ops import problems
from tests.ops.support import LAYOUTS, VIEWS_4D, assert_same_sums, seed_gradient

TILES, SLICES = GPU[0], GPU[4]


@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", (*LENET5[:1], TILES, SLICES), ids=str)
def test_rounding(case: Conv2dCase, dtype: torch.dtype, kind: str, device: Device) -> None:
    check_rounding(device, problems.conv2d(case, kind), dtype, case.terms)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_infinities_spread_as_far_as_their_windows(layout: str, device: Device) -> None:
    problem = problems.conv2d(EDGE[0]).in_layout(layout)
    problem.operands[0][0, 0, 2, 1] = math.inf
    (ours,) = device.outputs(problem)
    assert torch.equal(ours.isfinite(), problem.native_outputs[0].isfinite())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_of_grad_output(layout: str, device: Device) -> None:
    problem = problems.conv2d(TILES).in_layout(layout)
    expected = device.gradients(problem)
    for view in VIEWS_4D.values():
        viewed = replace(problem, seed=lambda output, view=view: view(seed_gradient(output)))
        for ours, reference in zip(device.gradients(viewed), expected, strict=True):
            assert_same_sums(ours, reference)

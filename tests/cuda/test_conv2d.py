"""conv2d on CUDA: exact on integers, within the bound of its sums on the rest."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import EDGE, LENET5
from cnnext.testing.errors import INPUT_KINDS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import Terms, check_deterministic, check_exact, check_rounding
from tests.ops import problems
from tests.ops.support import LAYOUTS, VIEWS_4D, Problem, assert_same_sums, seed_gradient

#: What the tiles of the kernels make of their edges: several of them, partial ones, many slices.
TILES = (
    Conv2dCase("two_tiles_of_pixels_and_channels", 1, 3, 9, 9, 70, 3, 3, padding=(1, 1)),
    Conv2dCase("exact_tiles", 1, 16, 8, 8, 64, 1, 1),
    Conv2dCase("one_channel_more_than_a_tile", 2, 65, 5, 3, 65, 1, 2),
    Conv2dCase("groups_of_two_tiles", 1, 6, 6, 11, 132, 2, 2, groups=2),
    Conv2dCase("seven_slices_of_pixels", 3, 2, 37, 33, 5, 3, 3, (1, 1), (1, 1)),
    Conv2dCase("slices_of_two_groups", 2, 4, 29, 31, 6, 3, 2, (1, 1), (1, 0), groups=2),
)
CASES = (*EDGE, *TILES)


def terms(problem: Problem) -> Terms:
    """Of outputs; of the gradients of input, weight and bias."""
    _, weight, _ = problem.operands
    (output,) = problem.native_outputs
    taps = weight[0].numel()
    pixels = output.numel() // max(1, output.shape[1])
    return (taps + 1,), (weight.shape[0] * weight[0, 0].numel(), pixels, pixels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_integers(case: Conv2dCase, dtype: torch.dtype, layout: str, device: Device) -> None:
    check_exact(device, problems.conv2d(case).in_layout(layout), dtype)


@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", (*LENET5[:1], TILES[0], TILES[4]), ids=str)
def test_rounding(case: Conv2dCase, dtype: torch.dtype, kind: str, device: Device) -> None:
    check_rounding(device, problems.conv2d(case, kind), dtype, terms)


@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, device: Device) -> None:
    problem = problems.conv2d(TILES[0]).mapped_images(VIEWS_4D[view])
    check_exact(device, problem, torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_infinities_spread_as_far_as_their_windows(layout: str, device: Device) -> None:
    problem = problems.conv2d(EDGE[0]).in_layout(layout)
    problem.operands[0][0, 0, 2, 1] = math.inf
    (ours,) = device.outputs(problem)
    assert torch.equal(ours.isfinite(), problem.native_outputs[0].isfinite())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_of_grad_output(layout: str, device: Device) -> None:
    problem = problems.conv2d(TILES[0]).in_layout(layout)
    expected = device.gradients(problem)
    for view in VIEWS_4D.values():
        viewed = replace(problem, seed=lambda output, view=view: view(seed_gradient(output)))
        for ours, reference in zip(device.gradients(viewed), expected, strict=True):
            assert_same_sums(ours, reference)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_twice(layout: str, device: Device) -> None:
    check_deterministic(device, problems.conv2d(TILES[4]).in_layout(layout))

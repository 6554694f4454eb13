"""conv2d: borders, values that are not finite, padding by name, filters that change."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import EDGE
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops import problems
from tests.ops.graphs import check_compiled, check_op
from tests.ops.specs import BY_NAME
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    LAYOUTS_4D,
    NATIVE,
    Problem,
    assert_same_sums,
    check_derivatives,
    check_everything,
    dtype_of,
    only_kernel,
    seed_gradient,
)
from tests.ops.test_every_operator import kernels_of, layouts_of, results

CONV2D = BY_NAME["conv2d"]
PLAIN = CONV2D.typical_cases[0]

# ------------------------------------------------------------------------------------- borders


@pytest.mark.parametrize("groups", (1, 2))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    ((3, 1, 10**5, 10**5), (2, 1, 2**30 - 1, 2**31 - 1), (2, 2**30 - 1, 2**31 - 1, 1)),
    ids=str,
)
def test_border_larger_than_memory(
    kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        torch.manual_seed(0)
        leaves = [
            torch.randn(1, 2, 2, 2),
            torch.randn(2, 2 // groups, kernel, kernel),
            torch.randn(2),
        ]
        for leaf in leaves:
            leaf.requires_grad_()
        output = library.conv2d(*leaves, stride, padding, dilation, groups)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    assert_same_sums(*results)


# --------------------------------------------------------------- values that are not finite

#: How many times larger than those of a plain sum the errors of its transforms are, at most.
WINOGRAD_GROWTH = 8

GRADIENT = -1
#: Direction, and which of the operands that it reads is spoiled.
SPOILED = (
    ("forward", 0),
    ("forward", 1),
    ("bwd_input", 1),
    ("bwd_input", GRADIENT),
    ("bwd_weight", 0),
    ("bwd_weight", GRADIENT),
)


def at_both_ends(t: Tensor) -> Tensor:
    """With zeros of the border these would make NaN, where the definition has no product."""
    t[(0,) * t.dim()] = math.inf
    t[(-1,) * t.dim()] = math.nan
    return t


def in_the_middle(t: Tensor) -> Tensor:
    t[tuple(size // 2 for size in t.shape)] = math.inf
    return t


@pytest.mark.parametrize(
    ("direction", "spoiled", "kernel", "case"),
    [
        pytest.param(direction, place, *param.values, id=f"{place}-{param.id}", marks=param.marks)
        for direction, place in SPOILED
        for param in kernels_of(CONV2D, direction, *EDGE)
    ],
)
def test_not_finite_like_the_definition(
    direction: str, spoiled: int, kernel: str, case: Conv2dCase
) -> None:
    """An Inf, -Inf or NaN spreads as far as in the plain loops of the reference kernel."""
    suffix = "" if direction == "forward" else f"_{direction}"
    plain = f"conv2d_reference{suffix}_{'f64' if 'f64' in kernel else 'f32'}"
    ways = product(layouts_of(CONV2D, kernel, case), (at_both_ends, in_the_middle))
    for layout, spoil in ways:
        problem = CONV2D.problem(case, dtype=dtype_of(kernel)).in_layout(layout)
        if spoiled == GRADIENT:
            problem = replace(problem, seed=lambda y, spoil=spoil: spoil(seed_gradient(y)))
        else:
            spoil(problem.operands[spoiled])
        both = []
        for name in (kernel, plain):
            with only_kernel("conv2d", name):
                both += results(CONV2D, direction, problem)
        ours, expected = both
        for special in (torch.isnan, torch.isposinf, torch.isneginf):
            assert torch.equal(special(ours), special(expected)), f"{layout}: {special.__name__}"
        finite = expected.isfinite()
        largest = expected[finite].abs().max().item() if finite.any() else 0.0
        assert_same_sums(ours[finite], expected[finite], terms=WINOGRAD_GROWTH * max(1, largest))


# ----------------------------------------------------------------------------- padding by name


def named(
    padding: str, image: Tensor, kernel: tuple[int, int] = (2, 3), dilation: Any = 1
) -> Problem:
    weight = make_input("normal", (4, 3, *kernel), torch.Generator().manual_seed(0), image.dtype)
    options = {"padding": padding, "dilation": dilation}
    return Problem(lambda library, v: (library.conv2d(*v, **options),), (image, weight))


@pytest.mark.parametrize("view", LAYOUTS_4D)
@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize("kernel", ((1, 1), (2, 2), (3, 4), (4, 3), (5, 5)), ids=str)
@pytest.mark.parametrize("dilation", (1, 2, (1, 3)), ids=str)
def test_padding_by_name(
    kernel: tuple[int, int],
    padding: str,
    dilation: int | tuple[int, int],
    view: str,
    generator: torch.Generator,
) -> None:
    """'same' with an even extent pads one pixel more on the right and at the bottom."""
    image = LAYOUTS_4D[view](make_input("normal", (2, 3, 14, 15), generator))
    check_everything(named(padding, image, kernel, dilation))


@pytest.mark.parametrize("padding", ("same", "valid"))
def test_padding_by_name_in_derivatives_and_graphs(
    padding: str, generator: torch.Generator
) -> None:
    check_derivatives(named(padding, make_input("normal", (1, 3, 4, 3), generator)))
    image = make_input("normal", (2, 3, 6, 5), generator)
    check_compiled("conv2d", named(padding, image), "aot_eager")


# ------------------------------------------------------------------------------------- corners


@pytest.mark.parametrize("wanted", ((0,), (1,), (2,)), ids=("input", "weight", "bias"))
def test_opcheck_of_one_gradient(wanted: tuple[int, ...]) -> None:
    operands = problems.conv2d(PLAIN).operands
    leaves = [t.requires_grad_(i in wanted) for i, t in enumerate(operands) if t is not None]
    check_op("conv2d", *leaves, 1, 1, 1, 1, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_offsets_beyond_32_bits(layout: str) -> None:
    """The memory is reserved, and only its last page used."""
    problem = problems.conv2d(PLAIN)
    image, *parameters = problem.operands
    memory = torch.empty(2**31 + image.numel())
    far = torch.as_strided(
        memory, image.shape, image.contiguous(memory_format=LAYOUTS[layout]).stride(), 2**31
    )
    check_everything(replace(problem, operands=(far.copy_(image), *parameters)))


def test_no_input_channels() -> None:
    operands = (torch.empty(2, 0, 5, 5), torch.empty(4, 0, 3, 3), torch.arange(4.0))
    check_everything(Problem(lambda library, v: (library.conv2d(*v),), operands))


def test_a_changed_weight_counts_at_once() -> None:
    problem = problems.conv2d(PLAIN)
    image, weight, bias = problem.operands
    through_numpy = weight.numpy()
    changes = {
        "in place": lambda: weight.mul_(2),
        "data": lambda: weight.data.add_(1),
        "numpy": lambda: through_numpy.fill(0.5),
        "storage": lambda: weight.set_(weight.flip(0)),
    }
    for name, change in changes.items():
        CNNEXT.conv2d(image, weight, bias)
        change()
        fresh = CNNEXT.conv2d(image, weight.clone(), bias)
        assert_bitwise_equal(CNNEXT.conv2d(image, weight, bias), fresh, what=name)

"""conv2d on tensors in any memory, of any number of dimensions, with sizes of zero and one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnext.testing.cases import VECTOR_SIZES, Conv2dCase
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops import problems
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    NATIVE,
    VIEWS,
    VIEWS_4D,
    Problem,
    check_everything,
    seed_gradient,
)

CASES = (
    Conv2dCase("plain", 2, 9, 6, 7, 17, 3, 3, padding=(1, 1)),
    Conv2dCase("pointwise", 2, 9, 6, 7, 17, 1, 1),
    Conv2dCase("depthwise_s2", 2, 8, 6, 7, 8, 3, 3, (2, 2), (1, 1), (1, 1), 8),
)

#: Sizes of one have no order in memory: whether a tensor is channels_last is then a convention.
ONES = (
    Conv2dCase("one_channel_in", 2, 1, 5, 6, 4, 3, 3),
    Conv2dCase("one_channel_out", 2, 3, 5, 6, 1, 3, 3),
    Conv2dCase("one_channel", 2, 1, 5, 6, 1, 3, 3),
    Conv2dCase("one_pixel", 2, 3, 1, 1, 4, 1, 1),
    Conv2dCase("one_output_pixel", 2, 3, 3, 3, 4, 3, 3),
    Conv2dCase("one_row", 2, 3, 1, 6, 4, 1, 3),
    Conv2dCase("one_column", 2, 3, 6, 1, 4, 3, 1),
    Conv2dCase("one_image", 1, 3, 5, 6, 4, 3, 3),
    Conv2dCase("one_of_all", 1, 1, 1, 1, 1, 1, 1),
)


def viewed(
    problem: Problem, image: Callable[[Tensor], Tensor], weight: Callable[[Tensor], Tensor]
) -> Problem:
    x, w, *rest = problem.operands
    return replace(problem, operands=(image(x), weight(w), *rest))


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("weight_view", VIEWS_4D)
@pytest.mark.parametrize("view", VIEWS_4D)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_views(case: Conv2dCase, view: str, weight_view: str) -> None:
    for dtype in DTYPES:
        problem = problems.conv2d(case, dtype=dtype)
        check_everything(viewed(problem, VIEWS_4D[view], VIEWS_4D[weight_view]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("weight_view", ("dense", "channels_last"))
@pytest.mark.parametrize("view", ("dense", "channels_last", "transposed"))
@pytest.mark.parametrize("case", ONES, ids=str)
def test_sizes_of_one(case: Conv2dCase, view: str, weight_view: str, dtype: torch.dtype) -> None:
    problem = problems.conv2d(case, dtype=dtype).positive()
    check_everything(viewed(problem, VIEWS_4D[view], VIEWS_4D[weight_view]))


@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_expanded_operands(case: Conv2dCase, axis: int) -> None:
    """Stride 0: many elements in one place."""

    def expanded(t: Tensor) -> Tensor:
        return t.narrow(axis, 0, 1).expand_as(t)

    check_everything(viewed(problems.conv2d(case), expanded, expanded))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("view", VIEWS_4D)
def test_views_of_grad_output(view: str, layout: str) -> None:
    problem = problems.conv2d(CASES[0]).in_layout(layout)

    def seed(output: Tensor) -> Tensor:
        return VIEWS_4D[view](seed_gradient(output))

    problem = replace(problem, seed=seed)
    problem.check_gradients(problem.gradients(CNNEXT))


@pytest.mark.parametrize("view", ("sliced", "offset", "negated"))
def test_views_of_the_bias(view: str) -> None:
    image, weight, bias = problems.conv2d(CASES[0]).operands
    problem = problems.conv2d(CASES[0])
    check_everything(replace(problem, operands=(image, weight, VIEWS[view](bias))))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_offsets_beyond_32_bits(layout: str) -> None:
    """The memory is reserved, and only its last page used."""
    problem = problems.conv2d(CASES[0])
    image, *parameters = problem.operands
    memory = torch.empty(2**31 + image.numel())
    far = torch.as_strided(
        memory, image.shape, image.contiguous(memory_format=LAYOUTS[layout]).stride(), 2**31
    )
    check_everything(replace(problem, operands=(far.copy_(image), *parameters)))


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_widths_around_the_vectors(size: int) -> None:
    for c_in, c_out in ((size, 3), (3, size), (size, size)):
        for k in (1, 3):
            case = Conv2dCase(f"{c_in}_{c_out}_{k}", 1, c_in, 4, size, c_out, k, k, (1, 1), (1, 1))
            check_everything(problems.conv2d(case).positive())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_unbatched(case: Conv2dCase, dtype: torch.dtype) -> None:
    problem = problems.conv2d(case, dtype=dtype)
    image, *parameters = problem.operands
    for view in VIEWS.values():
        check_everything(replace(problem, operands=(view(image[0]), *parameters)))


@pytest.mark.parametrize("view", ("dense", "channels_last"))
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
    operands = (
        VIEWS_4D[view](make_input("normal", (2, 3, 14, 15), generator)),
        make_input("normal", (4, 3, *kernel), generator),
    )
    options = {"padding": padding, "dilation": dilation}
    check_everything(Problem(lambda library, v: (library.conv2d(*v, **options),), operands))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_empty_batch(case: Conv2dCase) -> None:
    for layout in LAYOUTS:
        problem = problems.conv2d(case.with_batch(0)).in_layout(layout)
        check_everything(problem)
        for gradient in problem.gradients(CNNEXT)[1:]:
            assert_bitwise_equal(gradient, torch.zeros_like(gradient))


def test_no_input_channels() -> None:
    operands = (torch.empty(2, 0, 5, 5), torch.empty(4, 0, 3, 3), torch.arange(4.0))
    check_everything(Problem(lambda library, v: (library.conv2d(*v),), operands))


@pytest.mark.parametrize("stride", ((1, 2), [2, 1], (2,), [2], torch.Size((1, 2))), ids=str)
def test_forms_of_a_pair(stride: Any) -> None:
    image, weight, bias = problems.conv2d(CASES[0]).operands
    ours = CNNEXT.conv2d(image, weight, bias, stride=stride)
    assert ours.shape == NATIVE.conv2d(image, weight, bias, stride=stride).shape


@pytest.mark.parametrize("two", (np.int64(2), np.uint8(2), torch.tensor(2)), ids=repr)
def test_forms_of_an_integer(two: Any) -> None:
    image, weight, bias = problems.conv2d(Conv2dCase("plain", 1, 4, 9, 9, 4, 2, 2)).operands
    for name in ("stride", "padding", "dilation"):
        for value in (two, (two, 1)):
            options = {name: value}
            problem = Problem(
                lambda library, v, options=options: (library.conv2d(*v, **options),),
                (image, weight, bias),
            )
            check_everything(problem)
    grouped = (image, weight[:, :2], bias)
    check_everything(Problem(lambda library, v: (library.conv2d(*v, groups=two),), grouped))


# -------------------------------------------------------------------- never a stale filter


def test_a_changed_weight_counts_at_once() -> None:
    problem = problems.conv2d(CASES[0])
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

"""max_pool2d on tensors in any memory, of any number of dimensions, with sizes of zero and one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnext.testing.cases import VECTOR_SIZES, MaxPool2dCase
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops import problems
from tests.ops.pools import check_unbatched_results
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
from tests.ops.test_max_pool2d import check_values_and_indices

CASES = (
    MaxPool2dCase("plain", 2, 9, 8, 10, (2, 2), (2, 2)),
    MaxPool2dCase("resnet", 2, 9, 9, 9, (3, 3), (2, 2), (1, 1)),
    MaxPool2dCase("all_options", 2, 9, 11, 9, (3, 2), (2, 1), (1, 1), (1, 2), True),
)

ONES = (
    MaxPool2dCase("one_channel", 2, 1, 5, 6, (2, 2), (2, 2)),
    MaxPool2dCase("one_pixel", 2, 3, 1, 1, (1, 1), (1, 1)),
    MaxPool2dCase("one_output_pixel", 2, 3, 4, 5, (4, 5), (4, 5)),
    MaxPool2dCase("one_row", 2, 3, 1, 6, (1, 2), (1, 2)),
    MaxPool2dCase("one_column", 2, 3, 6, 1, (2, 1), (2, 1)),
    MaxPool2dCase("one_image", 1, 3, 5, 6, (2, 2), (2, 2)),
    MaxPool2dCase("one_of_all", 1, 1, 1, 1, (1, 1), (1, 1)),
)


def check(case: MaxPool2dCase, image: Tensor) -> None:
    check_values_and_indices(image, str(case), **case.kwargs())
    check_everything(Problem(problems.max_pool2d(case).apply, (image,)))


def image_of(case: MaxPool2dCase, dtype: torch.dtype = torch.float32) -> Tensor:
    (image,) = problems.max_pool2d(case, dtype=dtype).operands
    return image


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS_4D)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_views(case: MaxPool2dCase, view: str, dtype: torch.dtype) -> None:
    check(case, VIEWS_4D[view](image_of(case, dtype)))


@pytest.mark.parametrize("view", ("dense", "channels_last", "transposed"))
@pytest.mark.parametrize("case", ONES, ids=str)
def test_sizes_of_one(case: MaxPool2dCase, view: str) -> None:
    check(case, VIEWS_4D[view](image_of(case)))


@pytest.mark.parametrize("axis", range(4))
def test_expanded_input(axis: int) -> None:
    for case in CASES:
        check(case, image_of(case).narrow(axis, 0, 1).expand(case.input_shape))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("view", VIEWS_4D)
def test_views_of_grad_output(view: str, layout: str) -> None:
    problem = problems.max_pool2d(CASES[1]).in_layout(layout)

    def seed(output: Tensor) -> Tensor:
        return VIEWS_4D[view](seed_gradient(output))

    problem = replace(problem, seed=seed)
    problem.check_gradients(problem.gradients(CNNEXT))


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_sizes_around_the_vectors(size: int) -> None:
    for layout in LAYOUTS.values():
        for shape in ((1, size, 5, 4), (2, 3, 5, size + 1), (1, size, 4, size + 2)):
            case = MaxPool2dCase(str(shape), *shape, (2, 2), (2, 1))
            check(case, image_of(case).contiguous(memory_format=layout))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_unbatched(case: MaxPool2dCase, view: str, dtype: torch.dtype) -> None:
    """The indices are unbatched, too."""
    check(case, VIEWS[view](image_of(case, dtype)[0]))


def test_unbatched_results() -> None:
    check_unbatched_results("max_pool2d", 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_empty_batch(case: MaxPool2dCase, layout: str) -> None:
    empty = case.with_batch(0)
    check(empty, image_of(empty).contiguous(memory_format=LAYOUTS[layout]))


@pytest.mark.parametrize("size", range(1, 12))
def test_ceil_mode(size: int, generator: torch.Generator) -> None:
    """A window that would begin in the right padding is dropped."""
    image = make_input("normal", (1, 2, size, size + 1), generator)
    for kernel, stride in ((2, 2), (3, 2), (2, 3), (3, 3), (1, 2), (4, 3)):
        for padding in range(kernel // 2 + 1):
            if size + 2 * padding < kernel:
                continue
            options: dict[str, Any] = {"stride": stride, "padding": padding, "ceil_mode": True}
            image = make_input(
                "normal", (1, 2, size, size + 1), torch.Generator().manual_seed(size)
            )
            check_values_and_indices(image, str(options), kernel_size=kernel, **options)


@pytest.mark.parametrize("window", (256, 257), ids=("bytes", "positions"))
def test_the_last_element_of_a_large_window(window: int) -> None:
    """Windows of up to 256 elements are recorded in a byte."""
    image = torch.arange(2.0 * window).view(1, 1, 1, 2 * window)
    _, indices = CNNEXT.max_pool2d(image, (1, window), return_indices=True)
    assert indices.flatten().tolist() == [window - 1, 2 * window - 1]


@pytest.mark.parametrize("stride", (None, [], (), (2,), [2, 1], torch.Size((2, 2))), ids=repr)
def test_forms_of_stride(stride: Any) -> None:
    check_values_and_indices(image_of(CASES[0]), repr(stride), kernel_size=3, stride=stride)


@pytest.mark.parametrize("two", (np.int64(2), np.uint8(2), torch.tensor(2)), ids=repr)
@pytest.mark.parametrize("name", ("kernel_size", "stride", "padding", "dilation"))
def test_forms_of_an_integer(name: str, two: Any) -> None:
    for value in (two, (two, 1), [two]):
        options = {"kernel_size": 4, name: value}
        check_values_and_indices(image_of(CASES[0]), repr(value), **options)


@pytest.mark.parametrize("wanted", (1, None, "yes", np.bool_(True)), ids=repr)
def test_return_indices_is_any_truth(wanted: Any) -> None:
    image = image_of(CASES[0])
    ours = CNNEXT.max_pool2d(image, 2, return_indices=wanted)
    native = NATIVE.max_pool2d(image, 2, return_indices=wanted)
    assert isinstance(ours, tuple) == isinstance(native, tuple)


def test_windows_beside_the_image_are_natives(
    fallbacks: list[str], generator: torch.Generator
) -> None:
    """With padding, a dilation can step over the whole image."""
    image = make_input("normal", (1, 1, 3, 1), generator)
    options: dict[str, Any] = {"kernel_size": (2, 1), "padding": (1, 0), "dilation": (4, 1)}
    ours = CNNEXT.max_pool2d(image, **options)
    assert_bitwise_equal(ours, NATIVE.max_pool2d(image, **options))
    assert len(fallbacks) == 1 and "dilation" in fallbacks[0]

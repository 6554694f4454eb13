"""max_pool2d and adaptive_max_pool2d: values and indices equal to native's in every bit."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from tests.ops.graphs import Compiled, ops_in
from tests.ops.pools import SPECIAL, full_of
from tests.ops.specs import Spec, each_case
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    NATIVE,
    VIEWS,
    VIEWS_4D,
    Problem,
    generator_for,
    order_in_memory,
)

MAX_POOLS = ("max_pool2d", "adaptive_max_pool2d")
each_edge = each_case("edge_cases", *MAX_POOLS)
each_ordinary_case = each_case("typical_cases", *MAX_POOLS)
each_corner = each_case("corner_cases", *MAX_POOLS)


def input_of(case: Any, kind: str, dtype: torch.dtype) -> Tensor:
    if kind in SPECIAL:
        return full_of(SPECIAL[kind], case.input_shape, dtype)
    return make_input(kind, case.input_shape, generator_for(case, kind), dtype)


def check_values_and_indices(op: str, image: Tensor, what: str, **options: Any) -> None:
    native, pool = getattr(NATIVE, op), getattr(CNNEXT, op)
    values, indices = native(image, **options, return_indices=True)
    alone = pool(image, **options)
    ours, our_indices = pool(image, **options, return_indices=True)
    assert_bitwise_equal(alone, values, what=f"{what} values alone")
    assert_bitwise_equal(ours, values, what=f"{what} values")
    assert_bitwise_equal(our_indices, indices, what=f"{what} indices")
    for result in (alone, ours, our_indices):
        assert order_in_memory(result) == order_in_memory(values), what
    assert not our_indices.requires_grad


# ---------------------------------------------------------------------------------- every pool


@each_edge
def test_values_and_indices(spec: Spec, case: Any) -> None:
    for kind, layout, dtype in product((*INPUT_KINDS, *SPECIAL), LAYOUTS.values(), DTYPES):
        image = input_of(case, kind, dtype).contiguous(memory_format=layout)
        check_values_and_indices(spec.name, image, f"{kind} {layout} {dtype}", **case.kwargs())


@each_ordinary_case
def test_views(spec: Spec, case: Any) -> None:
    image = input_of(case, "normal", torch.float32)
    for name, view in VIEWS_4D.items():
        check_values_and_indices(spec.name, view(image), name, **case.kwargs())
    for name, view in VIEWS.items():
        check_values_and_indices(spec.name, view(image[0]), f"{name} unbatched", **case.kwargs())


@each_corner
def test_sizes_of_one(spec: Spec, case: Any) -> None:
    image = input_of(case, "normal", torch.float32)
    for view in ("dense", "channels_last", "transposed"):
        check_values_and_indices(spec.name, VIEWS_4D[view](image), view, **case.kwargs())


@each_edge
def test_gradient_goes_where_native_sends_it(spec: Spec, case: Any) -> None:
    for kind, layout in product(SPECIAL, LAYOUTS):
        image = input_of(case, kind, torch.float32)
        problem = Problem(spec.problem(case).apply, (image,)).in_layout(layout)
        problem.check_gradients(problem.gradients(CNNEXT), what=f"{kind} {layout} gradient")


@each_edge
def test_gradient_with_indices(spec: Spec, case: Any) -> None:
    problem = spec.problem(case)

    def with_indices(library: Any, values: Any) -> tuple[Tensor]:
        pool = getattr(library, spec.name)
        output, indices = pool(*values, **case.kwargs(), return_indices=True)
        assert output.requires_grad == values[0].requires_grad
        assert not indices.requires_grad
        return (output,)

    ours = Problem(with_indices, problem.operands).gradients(CNNEXT)
    for result, expected in zip(ours, problem.gradients(CNNEXT), strict=True):
        assert_bitwise_equal(result, expected)


@pytest.mark.parametrize("gradient", (True, False), ids=("grad", "no_grad"))
@each_ordinary_case
def test_compile_with_indices(spec: Spec, case: Any, gradient: bool) -> None:
    library = Compiled("aot_eager")
    (image,) = spec.problem(case).leaves(*((0,) if gradient else ()))
    ours, native = (
        getattr(each, spec.name)(image, **case.kwargs(), return_indices=True)
        for each in (library, CNNEXT)
    )
    for result, expected in zip(ours, native, strict=True):
        assert_bitwise_equal(result, expected)
        assert result.requires_grad == expected.requires_grad
    assert spec.name in ops_in(library.graphs[0])


# ---------------------------------------------------------------------------------- max_pool2d


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_indices_unpool(dtype: torch.dtype) -> None:
    """What the indices are for."""
    image = make_input("normal", (2, 3, 8, 6), generator_for("unpool"), dtype)
    pooled, indices = CNNEXT.max_pool2d(image, 2, return_indices=True)
    unpooled = torch.nn.functional.max_unpool2d(pooled, indices, 2)
    assert_bitwise_equal(unpooled, torch.where(unpooled != 0, image, torch.zeros_like(image)))
    assert_bitwise_equal(CNNEXT.max_pool2d(unpooled, 2).clamp(min=0), pooled.clamp(min=0))


@pytest.mark.parametrize("size", range(1, 12))
def test_ceil_mode(size: int) -> None:
    """A window that would begin in the right padding is dropped."""
    image = make_input("normal", (1, 2, size, size + 1), generator_for("ceil", size))
    for kernel, stride in ((2, 2), (3, 2), (2, 3), (3, 3), (1, 2), (4, 3)):
        for padding in range(kernel // 2 + 1):
            if size + 2 * padding >= kernel:
                options = {"stride": stride, "padding": padding, "ceil_mode": True}
                check_values_and_indices(
                    "max_pool2d", image, str(options), kernel_size=kernel, **options
                )


@pytest.mark.parametrize("window", (256, 257), ids=("bytes", "positions"))
def test_the_last_element_of_a_large_window(window: int) -> None:
    """Windows of up to 256 elements are recorded in a byte."""
    image = torch.arange(2.0 * window).view(1, 1, 1, 2 * window)
    _, indices = CNNEXT.max_pool2d(image, (1, window), return_indices=True)
    assert indices.flatten().tolist() == [window - 1, 2 * window - 1]


# ---------------------------------------------------------------------------------- max_pool1d


@pytest.mark.parametrize("kernel_size", (2**40, [2**62], (2**63 - 1,)), ids=str)
@torch.no_grad()
def test_windows_on_which_native_is_endless(kernel_size: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Invalid computed output size .*\d{13}"):
        CNNEXT.max_pool1d(torch.ones(2, 4, 6), kernel_size)

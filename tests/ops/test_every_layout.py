"""Every operator on tensors in any memory, with sizes of one and zero, and options in any form."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.ops.specs import SPECS, WEIGHTED, Spec, each_case, viewed
from tests.ops.support import CNNEXT, DTYPES, NATIVE, VIEWS, order_in_memory, seed_gradient


@each_case("typical_cases")
def test_views(spec: Spec, case: Any) -> None:
    """Inputs and weights are views, alike, or one of the two in an ordinary layout."""
    for dtype in DTYPES:
        problem = spec.problem(case, dtype=dtype)
        for view, weight_view in product(spec.views, spec.views if spec.has_bias else ("dense",)):
            ordinary = view in spec.layout_views or weight_view in spec.layout_views
            if ordinary or view == weight_view:
                spec.check(viewed(problem, view, weight_view))


@each_case("typical_cases", *WEIGHTED)
def test_a_view_of_one_operand(spec: Spec, case: Any) -> None:
    problem = spec.problem(case)
    for place, view in product(problem.places, VIEWS.values()):
        spec.check(problem.mapped_at(place, view))


@each_case("typical_cases")
def test_views_of_grad_output(spec: Spec, case: Any) -> None:
    for layout, view in product(spec.layouts, spec.views.values()):
        problem = spec.problem(case).in_layout(layout)
        problem = replace(problem, seed=lambda y, view=view: view(seed_gradient(y)))
        problem.check_gradients(problem.gradients(CNNEXT), what=layout)


@each_case("typical_cases")
def test_expanded_operands(spec: Spec, case: Any) -> None:
    """Stride 0: many elements in one place."""
    problem = spec.problem(case)
    for axis in range(problem.operands[0].dim()):

        def expanded(t: Tensor, axis: int = axis) -> Tensor:
            return t.narrow(axis if t.dim() > 1 else 0, 0, 1).expand_as(t)

        spec.check(problem.mapped(expanded))


@each_case("corner_cases")
def test_sizes_of_one_and_zero(spec: Spec, case: Any) -> None:
    problem = spec.problem(case).positive()
    for view, weight_view in product((*spec.layout_views, "transposed"), spec.layout_views):
        for either in spec.with_and_without_bias(viewed(problem, view, weight_view)):
            spec.check(either)


@each_case("typical_cases", *(spec.name for spec in SPECS if spec.operator.function is not None))
def test_empty_batch(spec: Spec, case: Any) -> None:
    for layout, dtype in product(spec.layouts, DTYPES):
        spec.check(spec.problem(case.with_batch(0), dtype=dtype).in_layout(layout))


#: Operators of batches alone.
NO_IMAGE = ("batch_norm", "roi_pool")


@each_case("typical_cases", *(s.name for s in SPECS if s.of_images and s.name not in NO_IMAGE))
def test_unbatched(spec: Spec, case: Any) -> None:
    for dtype, view in product(DTYPES, VIEWS.values()):
        problem = spec.problem(case, dtype=dtype)
        image, *parameters = problem.operands
        spec.check(replace(problem, operands=(view(image[0]), *parameters)))


# ----------------------------------------------------------------------- forms of the options


OPTIONS = {
    "conv2d": ("stride", "padding", "dilation"),
    "conv_transpose2d": ("stride", "padding", "dilation"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("kernel_size", "stride", "padding"),
}
TWOS = (np.int64(2), np.uint8(2), torch.tensor(2))


def check_form(op: str, **options: Any) -> None:
    """Values, sizes and order in memory; of whole numbers, which no sum rounds."""
    if op.endswith("pool2d"):
        options = {"kernel_size": 4, **options}
    image = torch.arange(2.0 * 4 * 9 * 9).view(2, 4, 9, 9)
    weight = torch.arange(4.0 * 4 * 4).view(4, 4, 2, 2)[:, : 4 // int(options.get("groups", 1))]
    parameters = () if op.endswith("pool2d") else (weight, torch.arange(4.0))
    ours, native = (
        getattr(library, op)(image, *parameters, **options) for library in (CNNEXT, NATIVE)
    )
    torch.testing.assert_close(ours, native, rtol=0, atol=0)
    assert order_in_memory(ours) == order_in_memory(native)


@pytest.mark.parametrize("stride", (None, [], (), (2,), [2], [2, 1], torch.Size((1, 2))), ids=repr)
@pytest.mark.parametrize("op", OPTIONS)
def test_forms_of_a_pair(op: str, stride: Any) -> None:
    if op.endswith("pool2d") or stride:  # a convolution has no other stride to take
        check_form(op, stride=stride)


@pytest.mark.parametrize("two", TWOS, ids=repr)
@pytest.mark.parametrize(("op", "name"), [(op, name) for op in OPTIONS for name in OPTIONS[op]])
def test_forms_of_an_integer(op: str, name: str, two: Any) -> None:
    for value in (two, (two, 1), [two]):
        check_form(op, **{name: value})


@pytest.mark.parametrize("two", TWOS, ids=repr)
def test_forms_of_one_number(two: Any) -> None:
    check_form("conv2d", groups=two)
    check_form("conv_transpose2d", groups=two)
    check_form("avg_pool2d", divisor_override=two)

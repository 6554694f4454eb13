"""Every operator in graphs: opcheck of the raw operators, torch.compile, torch.export.

tests/pytorch_integration compiles and exports every module; here are the options.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

import cnnext
from cnnext.testing.errors import make_input
from tests.ops.graphs import (
    FAKE_CHECK,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.specs import BY_NAME, Spec, each_case, each_spec
from tests.ops.support import DTYPES, generator_for


@each_case("typical_cases")
def test_opcheck(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        problem = spec.problem(case).in_layout(layout)
        for name, arguments in spec.raw_calls(case, problem.operands):
            check_op(name, *arguments)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("field", ("typical_cases", "corner_cases"))
@each_spec
def test_strides_of_fake_tensors(spec: Spec, field: str, dtype: Any) -> None:
    for case in (*getattr(spec, field), spec.typical_cases[0].with_batch(0)):
        x, *rest = spec.problem(case, dtype=dtype).operands
        if rest and rest[0].numel() == 0:
            continue  # of which the raw operators are not called
        # opcheck cannot copy an empty view with gaps.
        views = spec.views if x.numel() > 0 else spec.layout_views
        for view, weight_view in product(views.values(), spec.layout_views.values()):
            others = [weight_view(rest[0]), *rest[1:]] if rest else []
            for name, arguments in spec.raw_calls(case, (view(x), *others)):
                check_op(name, *arguments, checks=FAKE_CHECK)


@each_case("typical_cases")
def test_compile(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        problem = spec.problem(case).in_layout(layout)
        check_compiled(spec.name, problem, "aot_eager")
        if spec.has_bias:
            without = replace(problem, operands=(*problem.operands[:2], None))
            check_compiled(spec.name, without, "aot_eager")


@each_spec
def test_compile_by_inductor(spec: Spec) -> None:
    """Without a bias, for whose gradient alone it calls a C++ compiler."""
    for layout in spec.layouts:
        problem = spec.problem(spec.typical_cases[-1]).in_layout(layout)
        if spec.has_bias:
            problem = replace(problem, operands=(*problem.operands[:2], None))
        check_compiled(spec.name, problem, "inductor")


@pytest.mark.parametrize("op", ("conv2d", "max_pool2d"))
def test_compile_unbatched(op: str) -> None:
    spec = BY_NAME[op]
    problem = spec.problem(spec.typical_cases[0])
    image, *parameters = problem.operands
    check_compiled(op, replace(problem, operands=(image[0], *parameters)), "aot_eager")


@each_case("typical_cases")
def test_compile_with_dynamic_batch(spec: Spec, case: Any) -> None:
    check_dynamic_batch(spec.name, lambda batch: spec.problem(case.with_batch(batch)))


#: Modules with options: the operator, the module, and the shape of an image or a row.
EXPORTED: dict[str, tuple[str, Any, tuple[int, ...]]] = {
    "conv2d": ("conv2d", cnnext.Conv2d(3, 4, 3, padding=1), (3, 6, 7)),
    "conv2d-reflect": (
        "conv2d",
        cnnext.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"),
        (3, 6, 7),
    ),
    "max_pool2d": ("max_pool2d", cnnext.MaxPool2d(2, stride=1, padding=1), (3, 9, 8)),
    "max_pool2d-indices": (
        "max_pool2d",
        cnnext.MaxPool2d(2, ceil_mode=True, return_indices=True),
        (3, 9, 8),
    ),
    "avg_pool2d": (
        "avg_pool2d",
        cnnext.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        (3, 9, 8),
    ),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d", cnnext.AdaptiveAvgPool2d((3, None)), (3, 9, 8)),
    "adaptive_max_pool2d": ("adaptive_max_pool2d", cnnext.AdaptiveMaxPool2d((3, None)), (3, 9, 8)),
    "relu": ("relu", cnnext.ReLU(), (3, 7)),
    "linear": ("linear", cnnext.Linear(7, 5), (3, 7)),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_export(name: str) -> None:
    op, module, shape = EXPORTED[name]
    check_exported(
        op,
        module,
        lambda batch: (make_input("normal", (batch, *shape), generator_for(batch)),),
    )

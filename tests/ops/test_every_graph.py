"""Every operator in graphs: opcheck of the raw operators, torch.compile, torch.export.

tests/pytorch_integration compiles and exports every module; here are the options.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

import cnnext
from tests.ops.graphs import (
    FAKE_CHECK,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.specs import BY_NAME, WEIGHTED, Spec, each_case, each_spec, viewed
from tests.ops.support import DTYPES
from tests.pytorch_integration.cases import Layer


@each_case("typical_cases")
def test_opcheck(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        problem = spec.problem(case).in_layout(layout)
        problems = spec.with_and_without_bias(problem)
        for each in problems if case == spec.typical_cases[-1] else problems[:1]:
            for name, arguments in spec.raw_calls(case, each.operands):
                check_op(name, *arguments)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("field", ("typical_cases", "corner_cases"))
@each_spec
def test_strides_of_fake_tensors(spec: Spec, field: str, dtype: Any) -> None:
    for case in (*getattr(spec, field), spec.typical_cases[0].with_batch(0)):
        problem = spec.problem(case, dtype=dtype)
        x, *rest = problem.operands
        if any(t is not None and t.numel() == 0 for t in rest):
            continue  # of which the raw operators are not called
        # opcheck cannot copy an empty view with gaps.
        views = spec.views if x.numel() > 0 else spec.layout_views
        alike = () if spec.of_images else zip(views, views, strict=True)
        for view, weight_view in (*product(views, spec.layout_views), *alike):
            operands = viewed(problem, view, weight_view).operands
            for name, arguments in spec.raw_calls(case, operands):
                check_op(name, *arguments, checks=FAKE_CHECK)


@each_case("typical_cases")
def test_compile(spec: Spec, case: Any) -> None:
    for layout in spec.layouts:
        for problem in spec.with_and_without_bias(spec.problem(case).in_layout(layout)):
            check_compiled(spec.in_graphs, problem, "aot_eager")


@each_spec
def test_compile_by_inductor(spec: Spec) -> None:
    for layout in spec.layouts:
        problem = spec.problem(spec.typical_cases[-1]).in_layout(layout)
        *_, without_bias = spec.with_and_without_bias(problem)
        check_compiled(spec.in_graphs, without_bias, "inductor")


@pytest.mark.slow
@each_case("typical_cases", *WEIGHTED)
def test_compile_with_bias_by_inductor(spec: Spec, case: Any) -> None:
    """For the gradient of a bias, and for nothing else here, it calls a C++ compiler."""
    check_compiled(spec.in_graphs, spec.problem(case), "inductor")


@pytest.mark.parametrize("op", ("conv2d", "conv_transpose2d", "max_pool2d"))
def test_compile_unbatched(op: str) -> None:
    spec = BY_NAME[op]
    problem = spec.problem(spec.typical_cases[0])
    image, *parameters = problem.operands
    check_compiled(op, replace(problem, operands=(image[0], *parameters)), "aot_eager")


@each_case("typical_cases")
def test_compile_with_dynamic_batch(spec: Spec, case: Any) -> None:
    check_dynamic_batch(spec.in_graphs, lambda batch: spec.problem(case.with_batch(batch)))


def layer(name: str, *arguments: Any, shape: Any, **options: Any) -> Layer:
    """A module, and the shapes of one image or row, or of a row and its states."""
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    batched = tuple((1, *each) for each in shapes)
    return Layer(name, arguments, batched, options, states=len(shapes) == 3)


#: Modules with options, by the operator that they call.
EXPORTED = {
    "conv2d-conv1d": layer(
        "Conv1d", 3, 4, 3, padding="same", padding_mode="circular", shape=(3, 7)
    ),
    "conv2d": layer("Conv2d", 3, 4, 3, padding=1, shape=(3, 6, 7)),
    "conv2d-reflect": layer(
        "Conv2d", 3, 4, 3, padding="same", padding_mode="reflect", shape=(3, 6, 7)
    ),
    "conv_transpose2d": layer(
        "ConvTranspose2d", 3, 4, 3, stride=2, output_padding=1, shape=(3, 6, 7)
    ),
    "max_pool2d": layer("MaxPool2d", 2, stride=1, padding=1, shape=(3, 9, 8)),
    "max_pool2d-indices": layer(
        "MaxPool2d", 2, ceil_mode=True, return_indices=True, shape=(3, 9, 8)
    ),
    "avg_pool2d": layer(
        "AvgPool2d", 3, stride=2, padding=1, count_include_pad=False, shape=(3, 9, 8)
    ),
    "adaptive_avg_pool2d": layer("AdaptiveAvgPool2d", (3, None), shape=(3, 9, 8)),
    "adaptive_max_pool2d": layer("AdaptiveMaxPool2d", (3, None), shape=(3, 9, 8)),
    "relu": layer("ReLU", shape=(3, 7)),
    "linear": layer("Linear", 7, 5, shape=(3, 7)),
    "lstm_cell": layer("LSTMCell", 5, 4, shape=(5,)),
    "lstm_cell-states": layer("LSTMCell", 5, 4, shape=((5,), (4,), (4,))),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_export(name: str) -> None:
    exported = EXPORTED[name]
    op, _, _ = name.partition("-")
    check_exported(op, exported.build(cnnext), lambda batch: exported.inputs(batch=batch))

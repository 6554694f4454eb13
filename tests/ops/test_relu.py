"""relu: equal to native in every bit; the in-place form has a file of its own."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cnnext
from cnnext.testing.cases import VECTOR_SIZES, ReluCase
from cnnext.testing.errors import INPUT_KINDS, assert_bitwise_equal, make_input
from cnnext.testing.specs.relu import EDGE_RELUS, RELUS
from tests.ops import problems
from tests.ops.bad_calls import check_error, check_operator_error
from tests.ops.graphs import (
    ALL_CHECKS,
    BACKENDS,
    FAKE_CHECK,
    check_compiled,
    check_dynamic_batch,
    check_exported,
    check_op,
)
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    LAYOUTS,
    NATIVE,
    VIEWS,
    VIEWS_4D,
    Problem,
    check_derivatives,
    check_deterministic,
    check_exact,
    dtype_of,
    expanded_one,
    generator_for,
    kernel_cases,
    only_kernel,
    seed_gradient,
    use_threads,
)

IMAGE = ReluCase("image", (2, 3, 5, 7))
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0)


def with_special_values(problem: Problem) -> Problem:
    """Their places vary, so that each meets every lane of a vector."""
    values = itertools.cycle(SPECIAL)

    def sprinkled(t: Tensor) -> Tensor:
        flat = t.clone().flatten()
        for place in range(0, flat.numel(), 3):
            flat[place] = next(values)
        return flat.view(t.shape)

    return problem.mapped(sprinkled)


# ------------------------------------------------------------------------- forward vs native


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("relu", "forward", EDGE_RELUS))
def test_forward(kernel: str, case: ReluCase) -> None:
    for kind in INPUT_KINDS:
        problem = problems.relu(case, kind, dtype_of(kernel))
        for candidate in (problem, with_special_values(problem)):
            with only_kernel("relu", kernel):
                ours = candidate.outputs(CNNEXT)
            assert_bitwise_equal(ours[0], candidate.native_outputs[0], what=kind)


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("relu", "forward", RELUS[-1:], RELUS))
def test_forward_of_networks(kernel: str, case: ReluCase) -> None:
    problem = problems.relu(case, dtype=dtype_of(kernel))
    with only_kernel("relu", kernel), use_threads(3):
        ours = problem.outputs(CNNEXT)
    assert_bitwise_equal(ours[0], problem.native_outputs[0])


# ----------------------------------------------------------------------------------- backward


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("relu", "bwd_input", EDGE_RELUS))
def test_backward(kernel: str, case: ReluCase) -> None:
    for kind in INPUT_KINDS:
        problem = problems.relu(case, kind, dtype_of(kernel))
        for candidate in (problem, with_special_values(problem)):
            with only_kernel("relu", kernel):
                ours = candidate.gradients(CNNEXT)
            assert_bitwise_equal(ours[0], candidate.native_gradients[0], what=kind)


@pytest.mark.parametrize(("kernel", "case"), kernel_cases("relu", "bwd_input", RELUS[-1:], RELUS))
def test_backward_of_networks(kernel: str, case: ReluCase) -> None:
    problem = problems.relu(case, dtype=dtype_of(kernel))
    with only_kernel("relu", kernel), use_threads(3):
        ours = problem.gradients(CNNEXT)
    assert_bitwise_equal(ours[0], problem.native_gradients[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_at_special_values(dtype: torch.dtype) -> None:
    """One at NaN, as ATen has it, and zero at both zeros."""
    leaf = torch.tensor([math.nan, 0.0, -0.0, math.inf, -math.inf], dtype=dtype)
    CNNEXT.relu(leaf.requires_grad_()).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("inplace", (False, True), ids=("", "inplace"))
@pytest.mark.parametrize(
    ("numel", "name"), ((65535, "ReluBackward0"), (65536, "ReLUFunctionBackward"))
)
def test_small_tensors_train_natively(
    monkeypatch: pytest.MonkeyPatch, numel: int, name: str, inplace: bool
) -> None:
    monkeypatch.setattr("cnnext.ops.relu._MIN_BYTES_FOR_FUNCTION", 256 << 10)
    leaf = torch.linspace(-1, 1, numel, requires_grad=True)
    output = CNNEXT.relu(leaf * 1, inplace)
    assert output.grad_fn is not None and output.grad_fn.name() == name
    output.sum().backward()
    assert leaf.grad is not None
    assert_bitwise_equal(leaf.grad, (leaf > 0).float())


def test_special_gradients_pass_or_stop() -> None:
    problem = problems.relu(IMAGE)
    (special,) = with_special_values(problem).operands
    check_exact(replace(problem, seed=lambda _: special))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_of_a_sum(layout: str) -> None:
    problem = problems.relu(IMAGE).in_layout(layout)
    ours, native = (
        replace(problem, seed=expanded_one).gradients(library) for library in (CNNEXT, NATIVE)
    )
    assert_bitwise_equal(ours[0], native[0])


# ------------------------------------------------------------------- gradcheck, gradgradcheck


@pytest.mark.parametrize("shape", ((), (5,), (2, 3), (2, 3, 2, 2)), ids=str)
def test_derivatives(shape: tuple[int, ...], generator: torch.Generator) -> None:
    values = make_input("normal", shape, generator, torch.float64)
    away_from_zero = values + values.sign()  # where a difference quotient sees the kink
    check_derivatives(Problem(lambda library, v: (library.relu(v[0]),), (away_from_zero,)))


# ------------------------------------------------------------------------------------ opcheck


def check_all_ops(input: Tensor, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    check_op("relu_forward", input, checks=checks)
    output = torch.ops.cnnext.relu_forward(input)
    check_op("relu_backward", seed_gradient(output), output, checks=checks)
    check_op("relu", input.detach().requires_grad_(), checks=checks)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck(layout: str, generator: torch.Generator) -> None:
    image = make_input("normal", IMAGE.shape, generator).contiguous(memory_format=LAYOUTS[layout])
    check_all_ops(image)
    check_op("relu_", image)


SHAPES = ((), (0,), (7,), (2, 0, 3), (1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 4, 2, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_strides_of_fake_tensors(shape: tuple[int, ...], generator: torch.Generator) -> None:
    image = make_input("normal", shape, generator)
    views = VIEWS_4D if image.dim() == 4 else VIEWS if image.dim() > 0 else {"dense": torch.clone}
    for view in views.values():
        check_all_ops(view(image), FAKE_CHECK)


# ---------------------------------------------------------------------------- compile, export


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compile(layout: str, backend: str) -> None:
    check_compiled("relu", problems.relu(IMAGE).in_layout(layout), backend)


def test_compile_with_dynamic_batch() -> None:
    check_dynamic_batch("relu", lambda batch: problems.relu(IMAGE.with_batch(batch)))


def test_export() -> None:
    def inputs(batch: int) -> tuple[Tensor]:
        return (make_input("normal", (batch, 3, 7), generator_for(batch)),)

    check_exported("relu", cnnext.ReLU(), inputs)


# ------------------------------------------------------------------------- layouts and strides


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS_4D)
def test_views(view: str, dtype: torch.dtype) -> None:
    check_exact(problems.relu(IMAGE, dtype=dtype).mapped(VIEWS_4D[view]))


@pytest.mark.parametrize("view", VIEWS_4D)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_of_grad_output(layout: str, view: str) -> None:
    problem = problems.relu(IMAGE).in_layout(layout)
    viewed = replace(problem, seed=lambda output: VIEWS_4D[view](seed_gradient(output)))
    ours = viewed.gradients(CNNEXT)
    assert_bitwise_equal(ours[0], problem.native_gradients[0])


@pytest.mark.parametrize("axis", range(4))
def test_expanded_input(axis: int) -> None:
    check_exact(problems.relu(IMAGE).mapped(lambda t: t.narrow(axis, 0, 1).expand_as(t)))


# --------------------------------------------------------------------------------- edge shapes


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_sizes_around_the_vectors(size: int) -> None:
    for shape in ((size,), (3, size), (2, size, 3, 3), (2, 3, size, 2)):
        check_exact(problems.relu(ReluCase(str(shape), shape)))


@pytest.mark.parametrize("shape", ((), (0,), (2, 0, 3), (0, 3, 4, 4), (2, 3, 4, 2, 3)), ids=str)
def test_other_dimensions(shape: tuple[int, ...]) -> None:
    check_exact(problems.relu(ReluCase(str(shape), shape)))


@given(
    shape=st.lists(st.integers(0, 9), max_size=5).map(tuple),
    dtype=st.sampled_from(DTYPES),
    reverse=st.booleans(),
)
def test_any_shape(shape: tuple[int, ...], dtype: torch.dtype, reverse: bool) -> None:
    problem = problems.relu(ReluCase(str(shape), shape), dtype=dtype)
    if reverse:
        (operand,) = problem.operands
        order = tuple(reversed(range(operand.dim())))
        problem = replace(problem, operands=(operand.permute(order),))
    check_exact(problem)


def test_same_bits_twice() -> None:
    check_deterministic(problems.relu(RELUS[-1]))


# ------------------------------------------------------------------------------------- errors


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("inplace", (False, True), ids=("out_of_place", "in_place"))
@pytest.mark.parametrize(
    ("bad", "mentioned"),
    (
        (None, "input"),
        ([1.0], "input"),
        (1.0, "input"),
        (torch.tensor([True]), "Boolean"),
        (torch.tensor([1j]), "complex"),
    ),
    ids=("none", "list", "number", "bool", "complex"),
)
def test_bad_input(bad: object, mentioned: str, inplace: bool) -> None:
    check_error("relu", {"input": bad, "inplace": inplace}, mentioned)


def test_input_is_required() -> None:
    check_error("relu", {}, "input")


@pytest.mark.parametrize(
    ("name", "arguments", "mentioned"),
    (
        ("relu_forward", (torch.ones(3).half(),), "float32"),
        ("relu_", (torch.ones(3).half(),), "float32"),
        ("relu_", (torch.ones(4, 4)[:, ::2],), "dense"),
        ("relu_backward", (torch.ones(3), torch.ones(4)), "grad_output"),
        ("relu_backward", (torch.ones(3), torch.ones(3).double()), "output"),
    ),
)
def test_operators(name: str, arguments: tuple[Tensor, ...], mentioned: str) -> None:
    check_operator_error(name, arguments, mentioned)

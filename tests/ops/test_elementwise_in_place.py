"""Element-wise operators in place: the same object, counted as a change, and native's refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.graphs import Compiled
from tests.ops.specs import ELEMENTWISE, Spec
from tests.ops.support import CNNEXT, DTYPES, NATIVE, VIEWS_4D, seed_gradient

SHAPE = (2, 3, 5, 7)

Apply = Callable[[Any, Tensor], Tensor]


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    image = make_input("normal", SHAPE, generator)
    image[0, 0, 0, :4] = torch.tensor([math.nan, -0.0, math.inf, -math.inf])
    return image


@pytest.fixture(params=[spec for spec in ELEMENTWISE if spec.in_place], ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> Spec:
    return request.param


@pytest.fixture
def apply(spec: Spec) -> Apply:
    """The operator of a library, in place."""

    def apply(library: Any, t: Tensor) -> Tensor:
        return spec.apply(library, (t,), *spec.options, inplace=True)

    return apply


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", VIEWS_4D)
def test_any_memory_is_written_in_place(
    view: str, dtype: torch.dtype, image: Tensor, apply: Apply
) -> None:
    target = VIEWS_4D[view](image.to(dtype))
    expected = apply(NATIVE, target.clone())
    assert apply(CNNEXT, target) is target
    assert_bitwise_equal(target.resolve_neg(), expected)


@pytest.mark.parametrize("recorded", (False, True), ids=("plain", "recorded"))
def test_dense_memory_of_the_negatives(recorded: bool, image: Tensor, apply: Apply) -> None:
    """A view that torch negates only when it is read, without gaps between its values."""
    target = torch._neg_view(image.neg().requires_grad_(recorded) * 1)
    assert target.is_contiguous() and target.is_neg()
    assert apply(CNNEXT, target) is target
    assert_bitwise_equal(target.resolve_neg(), apply(NATIVE, image.clone()))


def test_the_rest_of_the_memory_stays(image: Tensor, apply: Apply) -> None:
    for part in (lambda t: t[:1], lambda t: t[:, 1:2], lambda t: t[..., ::2], lambda t: t[1, 2]):
        ours, native = image.clone(), image.clone()
        apply(CNNEXT, part(ours))
        apply(NATIVE, part(native))
        assert_bitwise_equal(ours, native)


def test_module_in_place(image: Tensor, spec: Spec, apply: Apply) -> None:
    expected = apply(NATIVE, image.clone())
    assert spec.layers[0].build(cnnext.nn, inplace=True)(image) is image
    assert_bitwise_equal(image, expected)


@pytest.mark.parametrize("shape", ((), (0,), (2, 0, 3)), ids=str)
def test_scalars_and_empty_tensors(shape: tuple[int, ...], apply: Apply) -> None:
    target = torch.full(shape, -1.0)
    expected = apply(NATIVE, target.clone())
    assert apply(CNNEXT, target) is target
    assert_bitwise_equal(target, expected)


# ---------------------------------------------------------------------------- version counter


@pytest.mark.parametrize("prepare", (
    lambda t: t,
    lambda t: t.requires_grad_() * 1,
    lambda t: (t.requires_grad_() * 1)[0],
    lambda t: t[..., ::2],
    lambda t: t[:0],
), ids=("plain", "recorded", "recorded_view", "strided", "empty"))  # fmt: skip
def test_counts_as_one_change(
    prepare: Callable[[Tensor], Tensor], image: Tensor, apply: Apply
) -> None:
    changes = []
    for library in (CNNEXT, NATIVE):
        target = prepare(image.clone())
        before = target._version
        apply(library, target)
        changes.append(target._version - before)
    assert changes[0] == changes[1]


def test_a_view_counts_for_its_base(image: Tensor, apply: Apply) -> None:
    before = image._version
    apply(CNNEXT, image[0])
    assert image._version > before


def test_overwriting_what_backward_needs_is_noticed(image: Tensor, apply: Apply) -> None:
    leaf = image.requires_grad_()
    squared = leaf * 2
    product = squared * squared
    apply(CNNEXT, squared)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


# ----------------------------------------------------------------------------------- gradient


@pytest.mark.parametrize("prepare", (
    lambda t: t * 1,
    lambda t: (t * 1).to(memory_format=torch.channels_last),
    lambda t: (t * 1).transpose(1, 2),
    lambda t: (t * 1)[:, 1:],
    lambda t: (t * 1)[..., ::2],
    lambda t: (t * 1).view(2, -1),
), ids=("dense", "channels_last", "transposed", "sliced", "strided", "viewed"))  # fmt: skip
def test_gradient(prepare: Callable[[Tensor], Tensor], image: Tensor, apply: Apply) -> None:
    gradients = []
    for library in (CNNEXT, NATIVE):
        leaf = image.clone().requires_grad_()
        output = apply(library, prepare(leaf))
        gradients += torch.autograd.grad(output, leaf, seed_gradient(output))
    assert_bitwise_equal(*gradients)


def test_gradient_of_the_base_of_a_changed_view(image: Tensor, apply: Apply) -> None:
    gradients = []
    for library in (CNNEXT, NATIVE):
        leaf = image.clone().requires_grad_()
        base = leaf * 3
        apply(library, base[0])
        gradients += torch.autograd.grad(base, leaf, seed_gradient(base))
    assert_bitwise_equal(*gradients)


def test_compiled(image: Tensor, apply: Apply) -> None:
    library = Compiled("aot_eager")
    gradients = []
    for either in (library, NATIVE):
        leaf = image.clone().requires_grad_()
        output = apply(either, leaf * 1)
        gradients += torch.autograd.grad(output, leaf, seed_gradient(output))
    assert_bitwise_equal(*gradients)
    target = image.clone()
    apply(library, target)
    assert_bitwise_equal(target, apply(NATIVE, image.clone()))


# ------------------------------------------------------------------------------------ refusals


def leaf(t: Tensor) -> Tensor:
    return t.requires_grad_()


def view_of_a_leaf(t: Tensor) -> Tensor:
    return t.requires_grad_()[0]


def strided_view_of_a_leaf(t: Tensor) -> Tensor:
    return t.requires_grad_()[..., ::2]


def one_of_many_views(t: Tensor) -> Tensor:
    return (t.requires_grad_() * 1).unbind(0)[0]


def view_made_without_grad(t: Tensor) -> Tensor:
    with torch.no_grad():
        return t.requires_grad_()[0]


def expanded(t: Tensor) -> Tensor:
    return t[:1].expand_as(t)


def expanded_and_recorded(t: Tensor) -> Tensor:
    return (t.requires_grad_() * 1)[:1].expand_as(t)


REFUSED = (
    leaf,
    view_of_a_leaf,
    strided_view_of_a_leaf,
    one_of_many_views,
    view_made_without_grad,
    expanded,
    expanded_and_recorded,
)


@pytest.mark.parametrize("prepare", REFUSED)
def test_refusals_are_natives_and_change_nothing(
    prepare: Callable[[Tensor], Tensor], image: Tensor, apply: Apply
) -> None:
    with pytest.raises(RuntimeError) as native:
        apply(NATIVE, prepare(image.clone()))
    values = image.clone()
    target = prepare(values)
    before = target.detach().clone()
    with pytest.raises(RuntimeError) as ours:
        apply(CNNEXT, target)
    assert str(ours.value) == str(native.value)
    assert_bitwise_equal(target.detach(), before)
    assert_bitwise_equal(values.detach(), image)


@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode))
@pytest.mark.parametrize("prepare", (leaf, view_of_a_leaf, one_of_many_views))
def test_allowed_without_grad(
    prepare: Callable[[Tensor], Tensor], mode: Any, image: Tensor, apply: Apply
) -> None:
    target = prepare(image.clone())
    expected = apply(NATIVE, target.detach().clone())
    with mode():
        assert apply(CNNEXT, target) is target
    assert_bitwise_equal(target.detach(), expected)


def test_inference_tensors(image: Tensor, apply: Apply) -> None:
    """They change inside inference mode only."""
    expected = apply(NATIVE, image.clone())
    with torch.inference_mode():
        target = image.clone()
        assert apply(CNNEXT, target) is target
        assert_bitwise_equal(target, expected)
    for library in (CNNEXT, NATIVE):
        with pytest.raises(RuntimeError, match="inference tensor outside InferenceMode"):
            apply(library, target)

"""Where calls go: the signatures, what falls back to native PyTorch, and how that is said."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import cnnext
from cnnext import NativeFallbackWarning
from cnnext.testing.specs import SPECS
from tests.ops.calls import OPS, call, operands_of
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums

# --------------------------------------------------------------------------------- signatures


def default_of(value: Any) -> Any:
    """A schema's default in the form that Python's signatures have it."""
    if isinstance(value, list):
        return value[0] if value else None
    return value


@pytest.mark.parametrize("op", ("conv2d", "linear", "lstm_cell"))
def test_names_order_and_defaults_are_those_of_aten(op: str) -> None:
    ours = {
        name: parameter.default
        for name, parameter in inspect.signature(getattr(CNNEXT, op)).parameters.items()
    }
    schema = getattr(torch.ops.aten, op).default._schema
    native = {
        argument.name: default_of(argument.default_value)
        if argument.has_default_value()
        else inspect.Parameter.empty
        for argument in schema.arguments
    }
    assert list(ours) == list(native)
    assert ours == native


@pytest.mark.parametrize(
    "op, native", (("relu", NATIVE.relu), ("max_pool2d", torch.nn.functional._max_pool2d))
)
def test_names_order_and_defaults_are_those_of_the_function(op: str, native: Any) -> None:
    signatures = (inspect.signature(f).parameters for f in (getattr(CNNEXT, op), native))
    ours, theirs = ([(name, p.default) for name, p in s.items()] for s in signatures)
    assert ours == theirs


FUNCTIONS = {op: function for op in OPS if (function := SPECS[op].operator.autograd) is not None}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_the_function_can_be_applied_directly(op: str) -> None:
    leaves = [operand.requires_grad_() for operand in operands_of(op)]
    spec = SPECS[op]
    ours = FUNCTIONS[op].apply(*spec.arranged(leaves, *spec.options), *spec.options)
    ours = ours[0] if op in ("adaptive_max_pool2d", "roi_pool") else ours
    expected = call(CNNEXT, op, *leaves)
    assert type(ours) is type(expected)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert (ours[0] if isinstance(ours, tuple) else ours).requires_grad


@pytest.mark.parametrize("op", ("conv2d", "conv_transpose2d", "linear"))
def test_the_function_needs_no_bias(op: str) -> None:
    leaves = [operand.requires_grad_() for operand in operands_of(op)[:2]]
    outputs = (FUNCTIONS[op].apply(*leaves), getattr(CNNEXT, op)(*leaves))
    for ours, expected in zip(
        *(torch.autograd.grad(y.sum(), leaves) for y in outputs), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    torch.testing.assert_close(*outputs, rtol=0, atol=0)


# ---------------------------------------------------------------------------------- fallbacks


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("op", OPS)
def test_cuda_tensors(op: str, fallbacks: list[str]) -> None:
    """Whoever computes, the results agree; ATen is a fallback only where it is all there is."""
    operands = tuple(t.cuda() for t in operands_of(op))
    assert_same_sums(call(CNNEXT, op, *operands), call(NATIVE, op, *operands))
    missing = cnnext.runtime.library.why_no_cuda
    assert len(fallbacks) == (missing is not None)
    assert all(str(missing) in message for message in fallbacks)


@pytest.mark.parametrize("op", OPS)
def test_torch_function_is_asked(op: str, fallbacks: list[str]) -> None:
    class Recorder:
        asked: list[Any] = []

        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, args: Any, kwargs: Any = None
        ) -> str:
            cls.asked.append(function)
            return "an answer of its own"

    _, *rest = operands_of(op)
    assert call(CNNEXT, op, Recorder(), *rest) == "an answer of its own"
    assert Recorder.asked == [getattr(NATIVE, op)] or op == "max_pool2d"
    assert len(fallbacks) == 1 and "Recorder" in fallbacks[0]


# -------------------------------------------------------------------------- warnings, strictness


def test_one_warning_for_each_operator_and_reason(fallbacks: list[str]) -> None:
    half = torch.ones(3).half()
    for _ in range(3):
        CNNEXT.relu(half)
        CNNEXT.relu(half, inplace=True)
        cnnext.ReLU()(half)
    assert len(fallbacks) == 1
    CNNEXT.relu(half.int())
    CNNEXT.linear(half, torch.ones(2, 3).half())
    assert len(fallbacks) == len(set(fallbacks)) == 3


def test_a_failed_fallback_is_not_noted(fallbacks: list[str]) -> None:
    with pytest.raises(RuntimeError):
        CNNEXT.linear(torch.ones(3).half(), torch.ones(2, 4).half())
    assert not fallbacks
    CNNEXT.linear(torch.ones(3).half(), torch.ones(2, 3).half())
    assert len(fallbacks) == 1


@pytest.mark.usefixtures("fallbacks")
def test_the_warning_points_at_the_caller() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CNNEXT.relu(torch.ones(3).half())
        nn.Sequential(cnnext.Linear(3, 2).half())(torch.ones(3).half())
    warning, of_module = caught
    assert of_module.filename == __file__  # not torch's container, which calls the module
    assert warning.category is NativeFallbackWarning
    assert issubclass(NativeFallbackWarning, UserWarning)
    assert warning.filename == __file__


@pytest.mark.parametrize("op", OPS)
def test_strictness_leaves_errors_alone(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", "1")
    operands = ("no tensor", *operands_of(op)[1:])
    with pytest.raises((TypeError, AttributeError)) as native:
        call(NATIVE, op, *operands)
    with pytest.raises(native.type):
        call(CNNEXT, op, *operands)


@pytest.mark.parametrize("value", ("0", "", "false", "Off"))
@pytest.mark.usefixtures("fallbacks")
def test_no_strictness(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", value)
    CNNEXT.relu(torch.ones(3).half())


@pytest.mark.parametrize("value", ("1", "true", "Yes", "on"))
def test_strictness_by_another_word(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", value)
    with pytest.raises(RuntimeError, match="CNNEXT_STRICT forbids"):
        CNNEXT.relu(torch.ones(3).half())

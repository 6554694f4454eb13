"""Where calls go: the signatures, what falls back to native PyTorch, and how that is said."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import cnnext
from cnnext import NativeFallbackWarning
from cnnext.testing import kernels
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


def test_public_names() -> None:
    assert tuple(sorted(CNNEXT.__all__)) == OPS
    without_kernels_of_their_own = {"gru_cell", "rnn_relu_cell", "rnn_tanh_cell"}
    assert {*OPS, "recurrence"} - without_kernels_of_their_own == set(kernels.OPERATORS)
    assert cnnext.autograd.__all__ == [
        "AdaptiveAvgPool2dFunction",
        "AdaptiveMaxPool2dFunction",
        "AvgPool2dFunction",
        "Conv2dFunction",
        "LSTMCellFunction",
        "LinearFunction",
        "MaxPool2dFunction",
        "ReLUFunction",
        "RecurrenceFunction",
    ]


# ---------------------------------------------------------------------------------- fallbacks


def assert_same(ours: Any, native: Any) -> None:
    assert type(ours) is type(native)
    torch.testing.assert_close(ours, native, rtol=0, atol=0, equal_nan=True)


class Subclass(Tensor):
    """A tensor subclass that only has another type."""


HALVES = dict.fromkeys(OPS, (torch.half, torch.bfloat16))
OTHERS = {
    "adaptive_avg_pool2d": (),
    "adaptive_max_pool2d": (),
    "avg_pool2d": (torch.int64,),
    "conv2d": (torch.int64, torch.complex64, torch.complex128),
    "gru_cell": (torch.complex64,),
    "linear": (torch.int32, torch.complex64),
    "lstm_cell": (torch.complex64,),
    "max_pool2d": (torch.uint8, torch.int64),
    "relu": (torch.int8, torch.int64),
    "rnn_relu_cell": (),
    "rnn_tanh_cell": (torch.complex64,),
}


@pytest.mark.parametrize(
    ("op", "dtype"),
    [(op, dtype) for op in OPS for dtype in (*HALVES[op], *OTHERS[op])],
    ids=str,
)
def test_other_dtypes(op: str, dtype: torch.dtype, fallbacks: list[str]) -> None:
    operands = operands_of(op, dtype)
    assert_same(call(CNNEXT, op, *operands), call(NATIVE, op, *operands))
    assert fallbacks == [f"cnnext.{op} uses native PyTorch: there are no kernels for {dtype}"]


@pytest.mark.parametrize("op", OPS)
def test_meta_tensors(op: str, fallbacks: list[str]) -> None:
    operands = tuple(t.to("meta") for t in operands_of(op))
    ours, native = (call(library, op, *operands) for library in (CNNEXT, NATIVE))
    shapes = [
        [(t.shape, t.stride(), t.device) for t in (result if op == "lstm_cell" else (result,))]
        for result in (ours, native)
    ]
    assert shapes[0] == shapes[1]
    assert len(fallbacks) == 1 and "'meta'" in fallbacks[0]


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


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors(fallbacks: list[str]) -> None:
    nested = torch.nested.nested_tensor([torch.randn(2, 4), torch.randn(3, 4)])
    weight = torch.randn(5, 4)
    for ours, native in (
        (CNNEXT.relu(nested), NATIVE.relu(nested)),
        (CNNEXT.linear(nested, weight), NATIVE.linear(nested, weight)),
    ):
        for each, expected in zip(ours.unbind(), native.unbind(), strict=True):
            assert_same_sums(each, expected)
    assert len(fallbacks) == 2 and all("nested" in message for message in fallbacks)


@pytest.mark.parametrize("place", (0, 1, -1))
@pytest.mark.parametrize("op", OPS)
def test_subclasses_stay_subclasses(op: str, place: int, fallbacks: list[str]) -> None:
    operands = list(operands_of(op))
    place = min(place, len(operands) - 1)
    operands[place] = operands[place].as_subclass(Subclass)
    ours, native = (call(library, op, *operands) for library in (CNNEXT, NATIVE))
    assert_same(ours, native)
    assert len(fallbacks) == 1 and "Subclass is not a plain tensor" in fallbacks[0]


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


@pytest.mark.parametrize("op", OPS)
def test_symbolic_tracing_records_our_calls(op: str) -> None:
    first, *rest = operands_of(op)

    class Caller(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return call(CNNEXT, op, x, *rest)

    traced = torch.fx.symbolic_trace(Caller())
    assert getattr(CNNEXT, op) in {node.target for node in traced.graph.nodes}
    assert_same(traced(first), call(CNNEXT, op, first, *rest))


@pytest.mark.parametrize("op", OPS)
def test_torch_jit_records_native_calls(op: str, fallbacks: list[str]) -> None:
    operands = operands_of(op)
    traced = torch.jit.trace(lambda *values: call(CNNEXT, op, *values), operands)
    assert "cnnext::" not in str(traced.graph)
    assert_same(traced(*operands), call(NATIVE, op, *operands))
    assert len(fallbacks) == 1 and "torch.jit" in fallbacks[0]


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
@pytest.mark.parametrize("op", OPS)
def test_autocast(op: str, dtype: torch.dtype, fallbacks: list[str]) -> None:
    """conv2d and linear go to bfloat16, unless they are float64; pools stay."""
    operands = [t.requires_grad_() for t in operands_of(op, dtype)]
    gradients = []
    for library in (CNNEXT, NATIVE):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = call(library, op, *operands)
        first = output[0] if op == "lstm_cell" else output
        gradients.append((output, torch.autograd.grad(first.sum(), operands)))
    assert_same(*gradients)
    assert fallbacks == [f"cnnext.{op} uses native PyTorch: autocast is on"]


def test_no_autocast_inside_a_region_that_turns_it_off() -> None:
    operands = operands_of("conv2d")
    with torch.autocast("cpu"), torch.autocast("cpu", enabled=False):
        assert CNNEXT.conv2d(*operands).dtype == torch.float32


# ------------------------------------------------------------------------ torch.func, forward AD


def scalar(library: Any, op: str, *operands: Tensor) -> Tensor:
    output = call(library, op, *operands)
    outputs = output if isinstance(output, tuple) else (output,)
    return sum((t * t).sum() for t in outputs)


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": torch.func.grad,
    "vmap": torch.vmap,
    "jacrev": torch.func.jacrev,
    "jacfwd": torch.func.jacfwd,
    "hessian": torch.func.hessian,
    "per_sample_grad": lambda f: torch.vmap(torch.func.grad(f)),
}
MAPS = ("vmap", "per_sample_grad")


@pytest.mark.parametrize(
    ("op", "transform"),
    # Native has no batching rules for cells.
    [
        (op, name)
        for op in OPS
        for name in TRANSFORMS
        if not op.endswith("_cell") or name not in MAPS
    ],
)
def test_torch_func(op: str, transform: str, fallbacks: list[str]) -> None:
    """Over the first operand, split along its batch where the transform maps."""
    first, *rest = operands_of(op, torch.float64)
    if transform in MAPS:
        first = torch.stack((first, first + 1))
    results = []
    for library in (CNNEXT, NATIVE):
        function = functools.partial(lambda library, x: scalar(library, op, x, *rest), library)
        results.append(TRANSFORMS[transform](function)(first))
    assert_same(*results)
    assert fallbacks == [f"cnnext.{op} uses native PyTorch: a torch.func transform is active"]


@pytest.mark.parametrize("op", OPS)
def test_forward_mode_derivatives_are_not_silently_zero(op: str, fallbacks: list[str]) -> None:
    first, *rest = operands_of(op, torch.float64)
    tangents = []
    for library in (CNNEXT, NATIVE):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(first, torch.ones_like(first))
            output = call(library, op, dual, *rest)
            output = output[0] if op == "lstm_cell" else output
            tangents.append(forward_ad.unpack_dual(output).tangent)
    assert_same(*tangents)
    assert tangents[0].abs().sum() > 0
    assert len(fallbacks) == 1 and "forward-mode" in fallbacks[0]


def test_functional_call_is_no_transform() -> None:
    layer = cnnext.Linear(3, 2)
    output = torch.func.functional_call(layer, dict(layer.named_parameters()), torch.ones(1, 3))
    assert "LinearFunction" in type(output.grad_fn).__name__


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
def test_strictness_forbids_fallbacks(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", "1")
    operands = operands_of(op, torch.half)
    with pytest.raises(RuntimeError) as error:
        call(CNNEXT, op, *operands)
    assert f"cnnext.{op}" in str(error.value)
    assert "torch.float16" in str(error.value)
    assert "CNNEXT_STRICT" in str(error.value)
    call(CNNEXT, op, *operands_of(op))


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

"""Autocast: the dtypes and values of native's outputs, wherever the region begins and ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from cnnext.runtime import fallback
from cnnext.runtime.operator import OPERATORS
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    each_layer,
    each_operator,
    gradients_of,
    outputs_of,
)

pytestmark = pytest.mark.usefixtures("fallbacks")

each_dtype = pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16), ids=str)


def assert_same(ours: Any, native: Any) -> None:
    """Dtypes too; autocast has native compute both."""
    torch.testing.assert_close(ours, native, rtol=0, atol=0)


@each_dtype
@each_operator
def test_operator(op: Operator, dtype: torch.dtype, fallbacks: list[str]) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        leaves = op.leaves()
        with torch.autocast("cpu", dtype=dtype):
            outputs = op.call(library, *leaves)
        gradients = torch.autograd.grad(sum(t.float().sum() for t in outputs), leaves)
        results.append((outputs, gradients))
    assert_same(*results)
    assert fallbacks == [f"cnnext.{op.name} uses native PyTorch: autocast is on"]


@each_dtype
@each_layer
def test_module(layer: Layer, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype):
        assert_same(*(layer.outputs(module) for module in layer.pair()))


@each_layer
def test_float64_is_left_alone(layer: Layer) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, native = (
            outputs_of(module.double()(*layer.inputs(torch.float64))) for module in layer.pair()
        )
    assert {t.dtype for t in ours} == {t.dtype for t in native}
    assert_same(ours, native)


@each_operator
def test_an_inner_region_has_its_own_dtype(op: Operator) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        operands = op.operands()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outer = op.call(library, *operands)
            with torch.autocast("cpu", dtype=torch.float16):
                inner = op.call(library, *operands)
            results.append((outer, inner, op.call(library, *operands)))
    assert_same(*results)


@each_operator
def test_our_kernels_compute_where_an_inner_region_turns_it_off(
    op: Operator, fallbacks: list[str]
) -> None:
    with torch.autocast("cpu"), torch.autocast("cpu", enabled=False):
        outputs = op.call(CNNEXT, *op.operands())
    assert_same_sums(outputs, op.call(NATIVE, *op.operands()))
    assert not fallbacks


@pytest.mark.parametrize("cached", (True, False), ids=("cached", "not_cached"))
def test_training_step(cached: bool) -> None:
    """The cell's weights are used twice: cast once, or twice, with one gradient."""

    def step(layers: Any) -> dict[str, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=cached):
            return gradients_of(Network(layers), Network.images())

    ours, native = (step(layers) for _, layers in LIBRARIES)
    assert ours.keys() == native.keys()
    assert_same(ours, native)


def test_a_weight_that_changes_inside_the_region_is_cast_again() -> None:
    def step(layers: Any) -> Tensor:
        model = Network(layers)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            gradients_of(model, Network.images())
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.5 * parameter.grad
            torch.clear_autocast_cache()
            return model(Network.images())

    assert_same(*(step(layers) for _, layers in LIBRARIES))


@pytest.mark.parametrize(
    "inside",
    (
        pytest.param(True, id="region_inside", marks=pytest.mark.slow),
        pytest.param(False, id="region_outside"),
    ),
)
@each_layer
def test_compiled(layer: Layer, inside: bool) -> None:
    def compiled(module: nn.Module) -> Any:
        def with_region(*inputs: Any) -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return module(*inputs)

        torch._dynamo.reset()
        options = {"fullgraph": True, "backend": "aot_eager"}
        if inside:
            return torch.compile(with_region, **options)(*layer.inputs())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.compile(module, **options)(*layer.inputs())

    assert_same(*(outputs_of(compiled(module)) for module in layer.pair()))


# ------------------------------------------------------------------------- of another device


@pytest.fixture
def autocast_on_cuda() -> Any:
    """torch.autocast itself does nothing where there is no GPU."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)
    yield
    torch.set_autocast_enabled("cuda", before)


@pytest.mark.usefixtures("autocast_on_cuda")
@each_operator
def test_of_cuda_does_not_concern_the_cpu(op: Operator, fallbacks: list[str]) -> None:
    outputs = op.call(CNNEXT, *op.operands())
    assert {t.dtype for t in outputs} == {torch.float32}
    assert not fallbacks


@pytest.mark.usefixtures("autocast_on_cuda")
def test_of_cuda_is_asked_for_cuda_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision alone, on a tensor that only claims to be on a GPU with our kernels."""
    monkeypatch.setattr(fallback, "_PLAIN_TYPES", frozenset((FakeTensor,)))
    monkeypatch.setattr(fallback, "_why_not_on_device", lambda op, operand: None)
    with FakeTensorMode():
        on_gpu = torch.empty(3, device="cuda")
    assert fallback.fallback_reason(OPERATORS["relu"], (on_gpu,)) == "autocast is on"
    torch.set_autocast_enabled("cuda", False)
    assert fallback.fallback_reason(OPERATORS["relu"], (on_gpu,)) is None

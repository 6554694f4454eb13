"""torch's switches: determinism, filled memory, inference mode, what records no graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    OPERATORS,
    Layer,
    Network,
    Operator,
    assert_same_bits,
    assert_same_outcome,
    each_layer,
    each_operator,
    each_trainable_layer,
    gradients_of,
    loss_of,
    outcome,
)

# ------------------------------------------------------------------------------- determinism


#: Native refuses max_unpool2d.
each_deterministic_operator = pytest.mark.parametrize(
    "op", [op for op in OPERATORS if op.name != "max_unpool2d"], ids=lambda op: op.name
)


@pytest.fixture(params=("filled", "not_filled"))
def deterministic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Filled: memory that is not yet written to holds NaN, which no result may show."""
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = request.param == "filled"
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled


@pytest.mark.usefixtures("deterministic")
@each_deterministic_operator
def test_deterministic_algorithms(op: Operator) -> None:
    results = [op.trained(library) for library in (CNNEXT, NATIVE, CNNEXT)]
    assert_same_sums(*results[:2])
    torch.testing.assert_close(results[0], results[2], rtol=0, atol=0)


@pytest.mark.usefixtures("deterministic")
@each_deterministic_operator
def test_deterministic_compiled_code(op: Operator) -> None:
    torch._dynamo.reset()
    run = torch.compile(lambda *v: op.call(CNNEXT, *v), backend="aot_eager", fullgraph=True)
    leaves, natives = op.leaves(), op.leaves()
    ours, native = run(*leaves), op.call(NATIVE, *natives)
    assert_same_sums(ours, native)
    assert_same_sums(
        torch.autograd.grad(loss_of(ours), leaves), torch.autograd.grad(loss_of(native), natives)
    )


@pytest.mark.usefixtures("deterministic")
def test_a_training_run_repeats_bit_by_bit() -> None:
    states = []
    for _ in range(2):
        model = Network(cnnext.nn)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            gradients_of(model, Network.images())
            optimizer.step()
        states.append(model.state_dict())
    assert_same_bits(*map(dict, states))


# ---------------------------------------------------------------------------- inference mode


@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode))
@each_operator
def test_no_graph_without_grad_mode(op: Operator, mode: Any) -> None:
    leaves = op.leaves()
    with mode():
        ours, native = (op.call(library, *leaves) for library in (CNNEXT, NATIVE))
    assert_same_sums(ours, native)
    for t in ours:
        assert t.grad_fn is None and not t.requires_grad
        assert t.is_inference() == (mode is torch.inference_mode)


@each_layer
def test_inference_mode(layer: Layer) -> None:
    results = []
    for module in layer.pair():
        with torch.inference_mode():
            outputs = layer.outputs(module)
        assert all(t.is_inference() and not t.requires_grad for t in outputs)
        results.append(outputs)
    assert_same_sums(*results)


def inference_tensors(values: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.inference_mode():
        return [value.clone() for value in values]


@pytest.mark.parametrize("leaf", ("inference", "of_others"))
@each_operator
def test_inference_tensors_outside_of_the_mode(op: Operator, leaf: str) -> None:
    """Any operand: the values; an error only where native, which would save it, has the same."""
    for place in range(len(op.shapes)):
        results = []
        for library in (CNNEXT, NATIVE):
            operands = list(op.operands())
            operands[place] = inference_tensors(op.operands())[place]
            if leaf == "of_others":
                for operand in operands[:place] + operands[place + 1 :]:
                    operand.requires_grad_()
            results.append(outcome(op.call, library, *operands))
        ours, native = results
        if native is RuntimeError and ours is not RuntimeError:  # we do not save it
            native = op.call(NATIVE, *op.operands())
        assert_same_outcome(ours, native)


@each_trainable_layer
def test_a_module_built_in_inference_mode(layer: Layer) -> None:
    with torch.inference_mode():
        modules = layer.pair()
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert_same_outcome(*(outcome(layer.outputs, module) for module in modules))


@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode, torch.enable_grad))
def test_modes_as_decorators(mode: Any) -> None:
    outputs = []
    for _, layers in LIBRARIES:
        output = mode()(Network(layers))(Network.images())
        assert output.requires_grad == (mode is torch.enable_grad)
        outputs.append(output)
    assert_same_sums(*outputs)


@each_trainable_layer
def test_a_graph_inside_of_a_region_without(layer: Layer) -> None:
    with torch.no_grad():
        for module in layer.pair():
            assert not layer.outputs(module)[0].requires_grad
            with torch.enable_grad():
                assert layer.outputs(module)[0].requires_grad
            with torch.set_grad_enabled(False):
                assert not layer.outputs(module)[0].requires_grad


# ------------------------------------------------------------------------------- other switches


@pytest.mark.parametrize("enabled", (True, False), ids=("mkldnn", "no_mkldnn"))
@each_layer
def test_switches_of_native_libraries_change_nothing_here(layer: Layer, enabled: bool) -> None:
    module = layer.build(cnnext.nn)
    expected = layer.outputs(module)
    with torch.backends.mkldnn.flags(enabled=enabled):
        outputs = layer.outputs(module)
    assert_same_bits(outputs, expected)


@pytest.mark.parametrize("precision", ("highest", "medium"))
@each_trainable_layer
def test_matmul_precision(layer: Layer, precision: str) -> None:
    """Leave to round more is not an order to: float32 stays float32 here."""
    module = layer.build(cnnext.nn)
    expected = layer.gradients(module)
    expected = {name: gradient.clone() for name, gradient in expected.items()}
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        gradients = layer.gradients(module)
    finally:
        torch.set_float32_matmul_precision(before)
    assert_same_bits(gradients, expected)


@pytest.mark.parametrize("flush", (True, False), ids=("flush", "keep"))
@each_operator
def test_denormals(op: Operator, flush: bool) -> None:
    """torch.set_flush_denormal is the calling thread's; results differ by denormals at most."""
    operands = [operand * 1e-39 for operand in op.operands()]
    supported = torch.set_flush_denormal(flush)
    try:
        ours = op.call(CNNEXT, *operands)
    finally:
        torch.set_flush_denormal(False)
    assert supported or flush
    for result, native in zip(ours, op.call(NATIVE, *operands), strict=True):
        torch.testing.assert_close(result, native, rtol=1e-6, atol=torch.finfo().tiny)

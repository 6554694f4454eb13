"""Modules without memory, without initialisation, and under other defaults of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import cnnext
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    each_layer,
    each_operator,
    each_trainable_layer,
    loss_of,
    outcome,
    outputs_of,
)


def facts_of(result: Any) -> list[tuple[Any, ...]]:
    return [(t.shape, t.stride(), t.dtype, t.device, t.requires_grad) for t in outputs_of(result)]


@pytest.mark.usefixtures("fallbacks")
@each_layer
def test_on_the_meta_device(layer: Layer) -> None:
    """Built there by each way, it computes shapes, forward and backward."""
    for build in (
        lambda layers: layer.build(layers, **({"device": "meta"} if layer.parameters else {})),
        lambda layers: layer.build(layers).to("meta"),
        lambda layers: _under_device(layer, layers),
    ):
        facts = []
        for layers in (cnnext.nn, nn):
            module = build(layers)
            image, *states = (
                torch.utils._pytree.tree_map(lambda t: t.to("meta"), v) for v in layer.inputs()
            )
            outputs = module(image.requires_grad_(), *states)
            (gradient,) = torch.autograd.grad(loss_of(outputs), image)
            facts.append(facts_of(outputs) + facts_of(gradient))
        assert facts[0] == facts[1]


def _under_device(layer: Layer, layers: Any) -> nn.Module:
    with torch.device("meta"):
        return layer.build(layers)


@each_trainable_layer
def test_memory_comes_later(layer: Layer) -> None:
    """to_empty and reset_parameters: the same random numbers as native's."""
    outputs = []
    for layers in (cnnext.nn, nn):
        module = layer.build(layers, device="meta").to_empty(device="cpu")
        torch.manual_seed(0)
        module.reset_parameters()
        outputs.append((module.state_dict(), layer.outputs(module)))
    assert_same_sums(*outputs)


@each_trainable_layer
def test_skipped_initialisation(layer: Layer) -> None:
    """No random number is drawn, and the loaded parameters are used."""
    if layer.recurrent:
        pytest.skip("torch looks for a device argument, which the constructor does not name")
    native = layer.build(nn)
    before = torch.get_rng_state()
    ours = nn.utils.skip_init(getattr(cnnext, layer.name), *layer.arguments, **layer.options)
    assert torch.equal(torch.get_rng_state(), before)
    ours.load_state_dict(native.state_dict())
    assert_same_sums(layer.outputs(ours), layer.outputs(native))


# --------------------------------------------------------------------------------- fake tensors


@pytest.mark.parametrize("training", (True, False), ids=("training", "inference"))
def test_a_network_of_fake_tensors(training: bool) -> None:
    facts = []
    for _, layers in LIBRARIES:
        with FakeTensorMode(), torch.set_grad_enabled(training):
            model = Network(layers)
            output = model(torch.empty(4, 3, 6, 5))
            assert isinstance(output, FakeTensor)
            facts.append(facts_of(output))
            if training:
                loss_of(output).backward()
                facts[-1] += facts_of([p.grad for p in model.parameters()])
    assert facts[0] == facts[1]


@each_operator
def test_a_fake_operand_among_real_ones(op: Operator) -> None:
    """An error, unless the mode allows it."""
    for allowed in (True, False):
        results = []
        for library in (CNNEXT, NATIVE):
            first, *rest = op.operands()
            mode = FakeTensorMode(allow_non_fake_inputs=allowed)
            results.append(outcome(op.call, library, mode.from_tensor(first), *rest))
        if isinstance(results[1], type):
            assert results[0] is results[1]
        else:
            assert facts_of(results[0]) == facts_of(results[1])


@pytest.mark.usefixtures("fallbacks")
@each_operator
def test_fake_tensors_of_other_kinds(op: Operator) -> None:
    """Fake tensors on a GPU that is not there, and of a dtype without kernels."""
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.bfloat16)):
        if device == "cuda" and op.name in ("gru_cell", "roi_pool"):
            continue  # native has no fake kernel of its cell on a GPU; indexing asks for the device
        facts = []
        for library in (CNNEXT, NATIVE):
            with FakeTensorMode():
                operands = [torch.empty(s, device=device, dtype=dtype) for s in op.shapes]
                facts.append(facts_of(op.call(library, *operands)))
        assert facts[0] == facts[1]


# ------------------------------------------------------------------------------------ defaults


@pytest.fixture
def default_dtype() -> Any:
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.fixture
def default_device() -> Any:
    yield torch.set_default_device
    torch.set_default_device(None)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.bfloat16), ids=str)
@pytest.mark.usefixtures("fallbacks")
@each_layer
def test_default_dtype(layer: Layer, dtype: torch.dtype, default_dtype: Any) -> None:
    """Parameters have it; results have the inputs' dtype, and so do states that a cell makes."""
    default_dtype(dtype)
    image, *_ = layer.inputs(dtype)
    ours, native = (outputs_of(module(image)) for module in layer.pair())
    assert {t.dtype for t in ours} == {dtype}
    assert_same_sums(ours, native)


@each_layer
def test_a_default_dtype_changes_no_module_of_another(layer: Layer, default_dtype: Any) -> None:
    ours, native = layer.pair()
    default_dtype(torch.float64)
    image, *_ = layer.inputs(torch.float32)
    results = [outputs_of(module(image)) for module in (ours, native)]
    assert {t.dtype for t in results[0]} == {torch.float32}
    assert_same_sums(*results)


@each_layer
def test_a_default_device_is_not_that_of_the_operands(layer: Layer, default_device: Any) -> None:
    """What a module allocates itself is where its input is."""
    ours, native = layer.pair()
    image, *_ = layer.inputs()
    default_device("meta")
    results = [outputs_of(module(image)) for module in (ours, native)]
    assert_same_sums(*results)


@each_trainable_layer
def test_a_default_device_is_where_parameters_go(layer: Layer, default_device: Any) -> None:
    default_device("meta")
    assert all(p.is_meta for p in getattr(cnnext, layer.name)(*layer.arguments).parameters())


@pytest.mark.parametrize("overwrite", (True, False), ids=("overwrite", "swap"))
@each_trainable_layer
def test_module_conversion_settings(layer: Layer, overwrite: bool) -> None:
    """torch.__future__: what `module.to` does with parameters."""
    setter = (
        torch.__future__.set_overwrite_module_params_on_conversion
        if overwrite
        else torch.__future__.set_swap_module_params_on_conversion
    )
    setter(True)
    try:
        ours, native = (module.double().float() for module in layer.pair())
        assert_same_sums(layer.gradients(ours), layer.gradients(native))
    finally:
        setter(False)

"""Copies and files: averaged models, pickles, checkpoints, loading by assignment."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

import cnnext
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    assert_same_bits,
    each_layer,
    each_trainable_layer,
    gradients_of,
    grads_of,
    loss_of,
)


def through_file(value: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, **options)


# --------------------------------------------------------------------------- averaged models


@pytest.mark.parametrize(
    "average",
    (None, swa_utils.get_ema_multi_avg_fn(0.9), swa_utils.get_swa_multi_avg_fn()),
    ids=("default", "ema", "swa"),
)
def test_averaged_model(average: Any) -> None:
    states = []
    for _, layers in LIBRARIES:
        model = Network(layers)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=average)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            gradients_of(model, Network.images())
            optimizer.step()
            averaged.update_parameters(model)
        assert type(averaged.module.linear) is layers.Linear
        states.append((averaged.state_dict(), averaged(Network.images())))
    assert_same_sums(*states)


def test_batch_statistics_are_updated_after_averaging() -> None:
    outputs = []
    for _, layers in LIBRARIES:
        torch.manual_seed(0)
        model = nn.Sequential(layers.Conv2d(3, 4, 3), nn.BatchNorm2d(4), layers.ReLU())
        averaged = swa_utils.AveragedModel(model)
        averaged.update_parameters(model)
        swa_utils.update_bn([Network.images(4)], averaged)
        outputs.append((averaged.state_dict(), averaged.eval()(Network.images())))
    assert_same_sums(*outputs)


# ------------------------------------------------------------------------------------ pickles


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@each_layer
def test_every_pickle_protocol(layer: Layer, protocol: int) -> None:
    module = layer.build(cnnext.nn)
    other = pickle.loads(pickle.dumps(module, protocol))
    assert type(other) is type(module)
    assert_same_bits(other(*layer.inputs()), module(*layer.inputs()))


@each_layer
def test_whole_modules_load_safely_once_allowed(layer: Layer) -> None:
    """As native's, which are not on the list of the safe either."""
    ours, native = layer.pair()
    for module in (ours, native):
        with pytest.raises(pickle.UnpicklingError, match="weights_only"):
            through_file(module, weights_only=True)
        pickled = io.BytesIO()
        torch.save(module, pickled)
        pickled.seek(0)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(pickled)
        assert any(name.endswith(f".{layer.name}") for name in names)
    types = [type(ours), set, torch.nn.parameter.Parameter]
    with torch.serialization.safe_globals(types):
        other = through_file(ours, weights_only=True)
    assert type(other) is type(ours)
    assert_same_bits(other(*layer.inputs()), ours(*layer.inputs()))


def test_a_training_checkpoint() -> None:
    """Model, optimizer and random state; training goes on as if it had not stopped."""

    def parts() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = Network(cnnext.nn)
        return model, torch.optim.Adam(model.parameters())

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss_of(model(Network.images() + torch.randn(()))).backward()
        optimizer.step()

    model, optimizer = parts()
    step(model, optimizer)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    state = through_file(state, weights_only=True)
    step(model, optimizer)
    other, other_optimizer = parts()
    other.load_state_dict(state["model"])
    other_optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    step(other, other_optimizer)
    assert_same_bits(dict(other.state_dict()), dict(model.state_dict()))


# ---------------------------------------------------------------------------------- state_dict


@each_trainable_layer
def test_state_dict_loads_by_assignment(layer: Layer) -> None:
    """Even into a module without memory."""
    native = layer.build(nn)
    state = {name: 2 * p.detach() for name, p in native.state_dict().items()}
    with torch.device("meta"):
        ours = layer.build(cnnext.nn)
    ours.load_state_dict(state, assign=True)
    assert all(p.data_ptr() == state[name].data_ptr() for name, p in ours.named_parameters())
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in ours.parameters())
    native.load_state_dict(state)
    assert_same_sums(layer.outputs(ours), layer.outputs(native))


@each_trainable_layer
def test_state_dict_loads_from_a_mapped_file(layer: Layer, tmp_path: Any) -> None:
    path = tmp_path / "state.pt"
    native = layer.build(nn)
    torch.save(native.state_dict(), path)
    ours = layer.build(cnnext.nn)
    ours.load_state_dict(torch.load(path, mmap=True, weights_only=True), assign=True)
    assert_same_sums(layer.outputs(ours), layer.outputs(native))
    assert_same_sums(layer.gradients(ours), layer.gradients(native))


@each_trainable_layer
def test_weights_of_a_numpy_array(layer: Layer) -> None:
    """Read-only memory and memory that others write to."""
    ours = layer.build(cnnext.nn)
    arrays = {name: p.detach().numpy().copy() for name, p in ours.named_parameters()}
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.set_(torch.from_numpy(arrays[name]))
    ours(*layer.inputs())
    for array in arrays.values():
        array *= 3
    native = layer.build(nn)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    native.load_state_dict({**native.state_dict(), **weights})
    assert_same_sums(layer.outputs(ours), layer.outputs(native))


@each_trainable_layer
def test_parameters_as_one_vector(layer: Layer) -> None:
    ours, native = layer.pair()
    vectors = []
    for module in (ours, native):
        vector = nn.utils.parameters_to_vector(module.parameters())
        nn.utils.vector_to_parameters(vector * 2, module.parameters())
        vectors.append(layer.gradients(module))
        nn.utils.clip_grad_norm_(module.parameters(), 0.1)
        vectors.append(grads_of(module))
    assert_same_sums(vectors[:2], vectors[2:])


@each_layer
def test_a_copy_of_a_used_module(layer: Layer) -> None:
    """After a forward pass with a graph, which is not copied."""
    module = layer.build(cnnext.nn)
    outputs = module(*layer.inputs())
    assert type(copy.copy(module)) is type(module)
    other = copy.deepcopy(module)
    assert not {p.data_ptr() for p in module.parameters()} & {
        p.data_ptr() for p in other.parameters()
    }
    assert_same_bits(other(*layer.inputs()), outputs)


@each_trainable_layer
def test_memory_that_processes_share(layer: Layer) -> None:
    module = layer.build(cnnext.nn).share_memory()
    assert all(p.is_shared() for p in module.parameters())
    native: dict[str, Tensor] = layer.gradients(layer.build(nn))
    assert_same_sums(layer.gradients(module), native)

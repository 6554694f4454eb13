"""Weights that are computed: parametrizations, weight and spectral norm, pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from torch.nn.utils.weight_norm import remove_weight_norm, weight_norm

import cnnext
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import Layer, each_trainable_layer, grads_of

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")


class Symmetric(nn.Module):
    """A parametrization of a user's own."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.flip(0)


#: What computes the parameter of that name from others.
WAYS: dict[str, Callable[[nn.Module, str], Any]] = {
    "own": lambda m, name: parametrize.register_parametrization(m, name, Symmetric()),
    "two": lambda m, name: [
        parametrize.register_parametrization(m, name, Symmetric()) for _ in range(2)
    ],
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old_weight_norm": weight_norm,
    "old_spectral_norm": spectral_norm,
    "l1_pruning": lambda m, name: prune.l1_unstructured(m, name, amount=0.4),
    "structured_pruning": lambda m, name: prune.ln_structured(m, name, 0.5, n=2, dim=0),
    "custom_pruning": lambda m, name: prune.custom_from_mask(
        m, name, (getattr(m, name) > 0).float()
    ),
}
#: And what makes it an ordinary parameter again.
UNDONE: dict[str, Callable[[nn.Module, str], Any]] = {
    **dict.fromkeys(
        ("own", "two", "weight_norm", "spectral_norm", "orthogonal"),
        parametrize.remove_parametrizations,
    ),
    "old_weight_norm": remove_weight_norm,
    "old_spectral_norm": remove_spectral_norm,
    **dict.fromkeys(("l1_pruning", "structured_pruning", "custom_pruning"), prune.remove),
}
#: Those that are of matrices alone.
OF_MATRICES = ("orthogonal", "structured_pruning")
PLAIN = "plain"  # a parameter as the layer has it
each_way = pytest.mark.parametrize("way", WAYS)
plain_and_each_way = pytest.mark.parametrize("way", (PLAIN, *WAYS))


@pytest.fixture(autouse=True)
def _matrices(request: pytest.FixtureRequest) -> None:
    given = getattr(request.node, "callspec", None)
    params = given.params if given else {}
    if params.get("way") in OF_MATRICES and params["layer"].name.startswith("BatchNorm"):
        pytest.skip("its weight is no matrix")


def weight_of(layer: Layer) -> str:
    names = ("weight", "weight_hh", "weight_hh_l0")
    return next(name for name in names if name in layer.parameters)


def pair_of(layer: Layer, way: str) -> tuple[nn.Module, nn.Module]:
    pair = layer.pair()
    for module in pair:
        torch.manual_seed(0)
        if way != PLAIN:
            WAYS[way](module, weight_of(layer))
    return pair


def trained(module: nn.Module, layer: Layer) -> dict[str, Tensor]:
    """The state after steps of SGD, in which the weight is computed afresh."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    for _ in range(3):
        layer.gradients(module)
        optimizer.step()
    return module.state_dict()


@plain_and_each_way
@each_trainable_layer
def test_training(layer: Layer, way: str) -> None:
    ours, native = (dict(trained(module, layer)) for module in pair_of(layer, way))
    assert_same_sums(ours, native)


@each_way
@each_trainable_layer
def test_removal(layer: Layer, way: str) -> None:
    ours, native = pair_of(layer, way)
    expected = layer.outputs(ours.eval())
    for module in (ours, native.eval()):
        UNDONE[way](module, weight_of(layer))
    assert type(ours) is getattr(cnnext, layer.name)
    assert list(ours.state_dict()) == list(native.state_dict())
    assert_same_sums(layer.outputs(ours), expected)
    assert_same_sums(layer.outputs(ours), layer.outputs(native))


@plain_and_each_way
@each_trainable_layer
def test_the_state_of_one_loads_into_the_other(layer: Layer, way: str) -> None:
    ours, native = pair_of(layer, way)
    for module, other in ((native, ours), (ours, native)):
        for parameter in module.parameters():
            parameter.data.mul_(1.5)
        other.load_state_dict(module.state_dict())
    assert_same_sums(layer.outputs(ours.eval()), layer.outputs(native.eval()))


@each_way
@each_trainable_layer
def test_a_copy_is_independent(layer: Layer, way: str) -> None:
    """(Natively, what was computed has to be a leaf: eval, without a graph.)"""
    results = []
    for module in pair_of(layer, way):
        with torch.no_grad():
            module.eval()(*layer.inputs())
            try:
                other = copy.deepcopy(module)
            except RuntimeError as error:  # a weight that a hook computed with a graph
                results.append(type(error))
                continue
            for parameter in module.parameters():
                parameter.zero_()
            results.append(layer.outputs(other))
    if isinstance(results[1], type):
        assert results[0] is results[1]
    else:
        assert_same_sums(*results)


@each_trainable_layer
def test_a_cached_parametrization_is_computed_once(layer: Layer) -> None:
    calls = []

    class Counted(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            calls.append(None)
            return 2 * weight

    ours = layer.build(cnnext.nn)
    parametrize.register_parametrization(ours, weight_of(layer), Counted())
    expected = layer.outputs(ours)
    calls.clear()
    with parametrize.cached():
        for _ in range(3):
            assert_same_sums(layer.outputs(ours), expected)
    assert len(calls) == 1


@pytest.mark.parametrize("method", (prune.L1Unstructured, prune.RandomUnstructured))
def test_global_pruning(method: Any) -> None:
    states = []
    for layers in (cnnext.nn, nn):
        torch.manual_seed(0)
        model = nn.Sequential(layers.Conv2d(3, 4, 3), layers.ReLU(), layers.Linear(3, 2))
        parameters = [(model[0], "weight"), (model[2], "weight")]
        prune.global_unstructured(parameters, pruning_method=method, amount=0.3)
        model(torch.ones(1, 3, 6, 5)).sum().backward()
        states.append((model.state_dict(), grads_of(model)))
    assert_same_sums(*states)


@pytest.mark.parametrize(
    ("fuse", "layer", "norm"),
    (
        (fuse_conv_bn_eval, ("Conv2d", 3, 4, 3), nn.BatchNorm2d(4)),
        (fuse_linear_bn_eval, ("Linear", 3, 4), nn.BatchNorm1d(4)),
    ),
    ids=("conv2d", "linear"),
)
def test_batch_norm_is_folded_into_a_layer(fuse: Any, layer: Any, norm: nn.Module) -> None:
    """By the functions that take modules, which ask for no exact type."""
    name, *arguments = layer
    module = getattr(cnnext, name)(*arguments).eval()
    norm = copy.deepcopy(norm).eval()
    nn.init.normal_(norm.running_mean)
    x = torch.randn(2, 3, 6, 5) if name == "Conv2d" else torch.randn(2, 3)
    fused = fuse(module, norm)
    assert type(fused) is type(module)
    assert_same_sums(fused(x), norm(module(x)))


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated")
def test_quantization_of_a_restored_model() -> None:
    """It looks for exactly torch.nn's types, and leaves ours alone."""
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    converted = cnnext.convert(model)
    x = torch.randn(2, 4)
    expected, untouched, restored = (
        torch.ao.quantization.quantize_dynamic(each, {nn.Linear}, dtype=torch.qint8)
        for each in (model, converted, cnnext.restore(converted))
    )
    assert type(restored[0]) is type(expected[0]) is not nn.Linear
    assert torch.equal(restored(x), expected(x))
    assert torch.equal(untouched(x), converted(x))


def test_eager_fusion_of_a_restored_model() -> None:
    images = torch.randn(2, 3, 6, 5)
    model = nn.Sequential(cnnext.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    fused = torch.ao.quantization.fuse_modules(cnnext.restore(model), [["0", "1"]])
    assert type(fused[1]) is nn.Identity
    assert_same_sums(cnnext.convert(fused)(images), model(images))

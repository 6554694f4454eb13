"""Conv2d: every padding mode, and parameters that are computed, pruned or shared."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    NATIVE,
    VIEWS_4D,
    Problem,
    assert_same_sums,
    check_everything,
)

MODES = ("zeros", "reflect", "replicate", "circular")
PADDINGS = (1, (0, 2), (2, 1), "same", "valid")


def as_problem(build: Any, image: Tensor) -> Problem:
    """The module as a function of its input and parameters."""
    modules = {id(NATIVE): build(nn), id(CNNEXT): build(cnnext)}
    modules[id(CNNEXT)].load_state_dict(modules[id(NATIVE)].state_dict())
    names = [name for name, _ in modules[id(NATIVE)].named_parameters()]

    def apply(library: Any, values: Any) -> tuple[Tensor]:
        parameters = dict(zip(names, values[1:], strict=True))
        return (torch.func.functional_call(modules[id(library)], parameters, values[0]),)

    parameters = (p.detach() for p in modules[id(NATIVE)].parameters())
    return Problem(apply, (image, *(p.to(image.dtype) for p in parameters)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", ("dense", "channels_last"))
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(
    mode: str, padding: Any, view: str, dtype: torch.dtype, generator: torch.Generator
) -> None:
    """The kernel's sides differ, so that a mix-up of axes or sides shows."""

    def build(layers: Any) -> nn.Module:
        return layers.Conv2d(3, 4, (4, 3), padding=padding, padding_mode=mode)

    image = VIEWS_4D[view](make_input("normal", (2, 3, 7, 8), generator, dtype))
    check_everything(as_problem(build, image))
    check_everything(as_problem(build, image[0]))


@pytest.mark.parametrize("mode", MODES)
def test_padding_larger_than_the_input_raises_what_native_raises(mode: str) -> None:
    image = torch.ones(1, 2, 3, 3)
    options = {"padding": 5, "padding_mode": mode}
    try:
        expected = nn.Conv2d(2, 3, 3, **options)(image).shape
    except RuntimeError as error:
        with pytest.raises(type(error)):
            cnnext.Conv2d(2, 3, 3, **options)(image)
    else:
        assert cnnext.Conv2d(2, 3, 3, **options)(image).shape == expected


def weight_norm(module: nn.Module) -> nn.Module:
    return parametrizations.weight_norm(module)


def spectral_norm(module: nn.Module) -> nn.Module:
    return parametrizations.spectral_norm(module).eval()  # in training it draws a new estimate


def pruned(module: nn.Module) -> nn.Module:
    return prune.l1_unstructured(module, "weight", amount=0.5)


@pytest.mark.parametrize("change", (weight_norm, spectral_norm, pruned))
def test_computed_weights(change: Any, generator: torch.Generator) -> None:
    image = make_input("normal", (2, 3, 6, 6), generator)
    ours = change(cnnext.Conv2d(3, 4, 3))
    native = change(nn.Conv2d(3, 4, 3))
    native.load_state_dict(ours.state_dict())
    outputs = []
    for module in (ours, native):
        with torch.no_grad():  # a step of training, which a stale weight would miss
            module(image)
            for parameter in module.parameters():
                parameter.mul_(1.5)
            outputs.append(module(image))
    assert_same_sums(*outputs)


def test_tied_weights_collect_both_gradients(generator: torch.Generator) -> None:
    image = make_input("normal", (2, 3, 6, 6), generator)
    gradients = []
    ours = cnnext.Conv2d(3, 3, 3, padding=1)
    native = nn.Conv2d(3, 3, 3, padding=1)
    native.load_state_dict(ours.state_dict())
    for module in (ours, native):
        module(module(image)).square().sum().backward()
        assert module.weight.grad is not None
        gradients.append(module.weight.grad)
    assert_same_sums(*gradients)


def test_an_ema_copy_follows_its_own_weights() -> None:
    ours = cnnext.Conv2d(3, 4, 3)
    image = torch.ones(1, 3, 5, 5)
    average = copy.deepcopy(ours)
    before = ours(image)
    with torch.no_grad():
        for mean, parameter in zip(average.parameters(), ours.parameters(), strict=True):
            mean.lerp_(parameter + 1, 0.5)
    assert_bitwise_equal(ours(image), before)
    assert not torch.equal(average(image), before)

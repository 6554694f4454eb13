"""A captured model computes what the model does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnext
from cnnext.optimization.capture import captured
from tests.optimization.networks import NAMES, network
from tests.optimization.support import (
    assert_close,
    randomized,
    reference,
    run_captured,
)

LIBRARIES = {"native": lambda model: model, "cnnext": cnnext.convert}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("with_example", [False, True], ids=["without-example", "with-example"])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_captured_whole(name: str, library: str, with_example: bool) -> None:
    model = randomized(network(name))
    x = torch.randn(2, 3, 16, 16)
    expected = reference(model, x)
    model = LIBRARIES[library](model)
    whole = captured(model, x if with_example else None)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), expected)


#: Where a model cannot take a small image of three channels.
INPUT_SIZES = {"lenet5": (2, 1, 32, 32), "alexnet": (1, 3, 64, 64)}


@pytest.mark.models
@pytest.mark.parametrize("name", [name for name in cnnext.models.__all__ if name[0].islower()])
def test_a_model_is_captured_whole(name: str, library: str) -> None:
    if name == "crnn":
        pytest.skip("no plan has its recurrent layers")
    if name in ("resnet101", "resnet152", "vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg19_bn"):
        pytest.skip("differs from one that is tested by its depth alone")
    model = randomized(getattr(cnnext.models, name)(layers=nn))
    x = torch.randn(INPUT_SIZES.get(name, (1, 3, 32, 32)))
    expected = reference(model, x)
    model = LIBRARIES[library](model)
    whole = captured(model)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), expected)

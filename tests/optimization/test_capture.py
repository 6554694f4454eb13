"""A captured model computes what the model does."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

import cnnext
from cnnext.optimization.capture import captured
from cnnext.optimization.passes import optimized
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


#: One of each family; crnn's recurrent layers have no operator.
WHOLE = ("lenet5", "alexnet", "resnet18", "resnet50", "googlenet", "mobilenet_v2", "densenet121")
WHOLE += ("efficientnet_b0", "unet")

#: Where a model cannot take a small image of three channels.
INPUT_SIZES = {"lenet5": (2, 1, 32, 32), "alexnet": (1, 3, 64, 64)}


@pytest.mark.models
@pytest.mark.parametrize("name", WHOLE)
def test_a_model_is_captured_whole(name: str, library: str) -> None:
    model = randomized(getattr(cnnext.models, name)(layers=nn))
    x = torch.randn(INPUT_SIZES.get(name, (1, 3, 32, 32)))
    expected = reference(model, x)
    model = LIBRARIES[library](model)
    whole = captured(model)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), expected)


@pytest.mark.models
def test_vgg_is_a_step_a_layer() -> None:
    model = cnnext.models.vgg11_bn(layers=nn).eval()
    (part,) = captured(model).parts
    counts = Counter(node.operator for node in optimized(part.graph).nodes)
    assert counts == {
        "input": 1,
        "conv2d": 8,
        "adaptive_avg_pool2d": 1,
        "flatten": 1,
        "linear": 3,
    }

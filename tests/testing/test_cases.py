"""Named shapes: unique, consistent with PyTorch, and truly those of the networks."""

import dataclasses
from collections import Counter

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cnnext import models
from cnnext.testing import conv2d_cases
from cnnext.testing.cases import Conv2dCase, LinearCase, LSTMCase, MaxPool2dCase
from cnnext.testing.specs import MEASURED, SPECS

ALL_CASES = [case for spec in SPECS.values() for case in (*spec.cases, *spec.edge_cases)]
CONV2D_CASES = [case for case in ALL_CASES if isinstance(case, Conv2dCase)]
POOL_CASES = [case for case in ALL_CASES if isinstance(case, MaxPool2dCase)]


def on_meta(shape):
    return torch.empty(shape, device="meta")


def test_names_are_unique_and_are_the_text():
    names = Counter(map(str, set(ALL_CASES)))  # both adaptive pools have the same
    assert max(names.values()) == 1
    assert "resnet50_3x3_s2_128@56" in names
    assert "vgg16_conv1_2" in names


@pytest.mark.parametrize("case", CONV2D_CASES, ids=str)
def test_conv2d_sizes_and_flops_are_torchs(case):
    with FlopCounterMode(display=False) as counter:
        output = torch.nn.functional.conv2d(
            on_meta(case.input_shape), on_meta(case.weight_shape), **case.kwargs()
        )
    assert case.output_shape == tuple(output.shape)
    assert case.flops == counter.get_total_flops()


@pytest.mark.parametrize("case", POOL_CASES, ids=str)
def test_max_pool2d_cases_are_valid(case):
    torch.nn.functional.max_pool2d(on_meta(case.input_shape), **case.kwargs())


def layers_run(model, layer_type, shape):
    """How often each (input shape, layer) of a type runs in one forward pass."""
    seen = []
    for module in model.modules():
        if type(module) is layer_type:
            module.register_forward_hook(
                lambda layer, inputs, output: seen.append((tuple(inputs[0].shape), layer))
            )
    model(on_meta(shape))
    return seen


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("lenet5", (1, 32, 32), conv2d_cases.LENET5),
        ("vgg16", (3, 224, 224), conv2d_cases.VGG16),
        ("resnet50", (3, 224, 224), conv2d_cases.RESNET50),
    ],
)
def test_convolutions_are_those_of_the_network(name, image, expected):
    with torch.device("meta"):
        model = getattr(models, name)(layers=torch.nn)
    found = Counter(
        (shape, tuple(layer.weight.shape), layer.stride, layer.padding)
        for shape, layer in layers_run(model, torch.nn.Conv2d, (1, *image))
    )
    assert found == {
        (case.input_shape, case.weight_shape, case.stride, case.padding): case.count
        for case in expected
    }


def test_a_network_names_a_convolution_once():
    for network in (
        conv2d_cases.LENET5,
        conv2d_cases.ALEXNET,
        conv2d_cases.VGG16,
        conv2d_cases.GOOGLENET,
        conv2d_cases.RESNET50,
    ):
        assert len({dataclasses.replace(case, name="", count=1) for case in network}) == len(
            network
        )


def test_googlenet_has_the_papers_operations():
    """Szegedy et al. 2014, table 1, column "ops", from the second convolution on."""
    millions = (360, 128, 304, 73, 88, 100, 119, 170, 54, 71)
    papers = [case for case in conv2d_cases.GOOGLENET if "3x3" not in case.name or case.c_in >= 64]
    macs = sum(case.count * case.flops / 2 for case in papers)
    assert macs == pytest.approx(sum(millions) * 1e6, rel=0.01)


def test_alexnet_has_its_operations():
    """Krizhevsky 2014 (one tower): 714e6 multiply-adds, of which 59e6 in the classifier."""
    macs = sum(case.flops / 2 for case in conv2d_cases.ALEXNET)
    assert macs == pytest.approx(714e6 - 59e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "image"), [("lenet5", (64, 1, 32, 32)), ("vgg16", (1, 3, 224, 224))]
)
def test_linears_and_pools_are_those_of_the_network(name, image):
    with torch.device("meta"):
        model = getattr(models, name)(layers=torch.nn)
    linears = {
        (*shape, layer.out_features) for shape, layer in layers_run(model, torch.nn.Linear, image)
    }
    pools = {shape for shape, _ in layers_run(model, torch.nn.MaxPool2d, image)}
    named = [case for case in ALL_CASES if case.name.startswith(name)]
    assert linears == {(c.m, c.k, c.n) for c in named if isinstance(c, LinearCase)}
    assert pools == {c.input_shape for c in named if isinstance(c, MaxPool2dCase)}


@pytest.mark.parametrize("op", MEASURED)
def test_with_batch_changes_batch_and_name(op):
    case = MEASURED[op].cases[0]
    larger = case.with_batch(3)
    shape = list(case.input_shape)
    shape[1 if isinstance(case, LSTMCase) else 0] = 3
    assert larger.input_shape == tuple(shape)
    assert larger.name == f"{case.name}_b3"
    assert larger.with_batch(3) is larger


def test_sizes_are_the_fields_without_the_name():
    assert LinearCase("some", 1, 2, 3).sizes() == {"m": 1, "k": 2, "n": 3}

"""Rounding errors of whole models."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext import models
from cnnext.testing.comparisons import LAYOUTS
from cnnext.testing.errors import INPUT_KINDS, assert_contract, make_input

SEED = 20261121
ALGORITHMS = ("auto", "exact", "winograd2", "winograd4")
DEPTH = 12


def chain(channels: int, generator: torch.Generator) -> torch.nn.Sequential:
    """3x3 convolutions with ReLU between them, whose weights keep the size of the values."""
    layers: list[torch.nn.Module] = []
    for _ in range(DEPTH):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            scale = (2 / (9 * channels)) ** 0.5
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * scale)
            layer.bias.copy_(torch.randn(channels, generator=generator) * 0.1)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def outputs_and_gradient(model: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    output = model(x)
    (gradient,) = torch.autograd.grad(output.square().sum(), x)
    return output.detach(), gradient


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_errors_of_12_layers_add_up_like_independent_ones(kind: str, layout: str) -> None:
    generator = torch.Generator().manual_seed(SEED)
    native = chain(64, generator).to(memory_format=LAYOUTS[layout])
    x = make_input(kind, (2, 64, 14, 14), generator).to(memory_format=LAYOUTS[layout])
    expected = outputs_and_gradient(native, x)
    converted = cnnext.convert(native)
    results = {}
    for algorithm in ALGORITHMS:
        with cnnext.flags(conv_algorithm=algorithm):
            results[algorithm] = outputs_and_gradient(converted, x)
    reference = outputs_and_gradient(native.double(), x.double())
    for algorithm, found in results.items():
        for i, (what, layers) in enumerate((("output", DEPTH), ("gradient", 2 * DEPTH))):
            what = f"{what} of {algorithm}, seed {SEED},"
            assert_contract(found[i], expected[i], reference[i], layers=layers, what=what)


def vgg11_for_digits(layers: ModuleType, layout: str) -> torch.nn.Module:
    """VGG-11's convolutions with a classifier as small as its images ask for."""
    torch.manual_seed(SEED)
    features = models.vgg11(num_classes=10, layers=layers).features
    model = torch.nn.Sequential(features, torch.nn.Flatten(), torch.nn.Linear(512, 10))
    return model.to(memory_format=LAYOUTS[layout])


def losses_on_digits(model: torch.nn.Module, steps: int) -> Tensor:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = torch.as_tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = torch.nn.functional.interpolate(images, scale_factor=4).repeat(1, 3, 1, 1)
    labels = torch.as_tensor(digits.target)
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(images), (16,), generator=generator)
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.slow
def test_vgg11_trains_with_its_native_counterpart_while_native_agrees_with_itself() -> None:
    native = losses_on_digits(vgg11_for_digits(torch.nn, "NCHW"), 200)
    other = losses_on_digits(vgg11_for_digits(torch.nn, "channels_last"), 200)
    ours = losses_on_digits(vgg11_for_digits(cnnext.nn, "NCHW"), 200)
    assert native[-20:].mean() < 0.8 * native[:20].mean()  # it learns
    # Training multiplies rounding errors until native no longer agrees with itself, which its other
    # layout tells.
    means = torch.stack([losses.unflatten(0, (-1, 20)).mean(1) for losses in (native, other, ours)])
    apart, ours_apart = ((means[i] / means[0] - 1).abs() for i in (1, 2))
    settled = apart <= 1e-3
    assert settled.sum() >= 2, f"seed {SEED}: {apart}"
    assert (ours_apart[settled] <= 0.01).all(), f"seed {SEED}: {ours_apart} where native: {apart}"

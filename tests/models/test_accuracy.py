"""Rounding errors of whole models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.testing.contests import LAYOUTS
from cnnext.testing.errors import INPUT_KINDS, MAX_SLACK, RMS_SLACK, check_contract, make_input

SEED = 20261121
ALGORITHMS = ("auto", "direct", "winograd2", "winograd4")
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
        # The contract is one layer's. Of several layers the errors are independent, and so the
        # allowance grows with the square root of their number: those passed on the way.
        for i, (what, layers) in enumerate((("output", DEPTH), ("gradient", 2 * DEPTH))):
            verdict = check_contract(found[i], expected[i], reference[i])
            ours, more = verdict.ours, layers**0.5 - 1
            text = f"{what} of {algorithm}, seed {SEED}:\n{verdict}"
            assert ours.rms <= verdict.rms_limit + more * RMS_SLACK * ours.rms_ref, text
            assert ours.max <= verdict.max_limit + more * MAX_SLACK * ours.max_ref, text

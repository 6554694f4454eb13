"""Arithmetic of values with numbers and with what follows from the model's tensors alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cnnext
from cnnext.optimization.capture import captured
from tests.optimization.support import assert_close, randomized, reference, run_captured

#: By name: what is done to a value, of 4 channels as the result is.
OF_NUMBERS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: 2 + (x + 1),
    "sum-with-alpha": lambda x: torch.add(x, x.relu(), alpha=2),
    "sum-with-alpha-of-a-number": lambda x: torch.add(x, 0.5, alpha=-2),
    "difference": lambda x: x - 0.25,
    "difference-from-a-number": lambda x: 1 - x.sigmoid(),
    "difference-of-values": lambda x: x - x.relu(),
    "reversed-difference": lambda x: torch.rsub(x, 3, alpha=2),
    "product": lambda x: 0.5 * (x * 3),
    "quotient": lambda x: x.div(3) / 0.7,
    "negative": lambda x: -x + torch.neg(x.relu()),
    "square": lambda x: x**2 - x.square(),
    "in-place": lambda x: x.mul_(2).sub_(1),
    "two-dimensions": lambda x: x * (x.mean((2, 3)) * 2 + 1)[:, :, None, None],
}


class FrozenBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.rand(4) + 0.5)
        self.register_buffer("variance", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        count = self.variance.shape[0]
        scale = self.weight * (self.variance + 1e-5).rsqrt()
        return x * scale.reshape(1, count, 1, 1) - scale.view(self.weight.size(0), 1, 1)


class Around(nn.Module):
    """What is done stands between two convolutions."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.held = nn.ParameterList(torch.randn(shape) for shape in shapes)
        self.norm, self._function = FrozenBatchNorm(), function

    def forward(self, x: Tensor) -> Tensor:
        x = self._function(self.norm(self.before(x)), *self.held)
        return self.after(x)


@pytest.mark.parametrize("with_example", [False, True], ids=["without-example", "with-example"])
@pytest.mark.parametrize("name", [name for name in OF_NUMBERS if name != "two-dimensions"])
def test_numbers(name: str, with_example: bool) -> None:
    model, x = Around(OF_NUMBERS[name]).eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model, x if with_example else None)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), reference(model, x))


def standardized(x: Tensor, weight: Tensor, gain: Tensor) -> Tensor:
    mean, variance = weight.mean((1, 2, 3), keepdim=True), weight.var((1, 2, 3), keepdim=True)
    return F.conv2d(x, (weight - mean) / (variance + 1e-5).sqrt() * gain)


def standardized_by_batch_norm(x: Tensor, weight: Tensor, gain: Tensor) -> Tensor:
    flat = weight.reshape(1, weight.shape[0], -1)
    flat = F.batch_norm(flat, None, None, weight=gain.view(-1), training=True, momentum=0.0)
    return F.conv2d(x, flat.reshape_as(weight), padding="same")


def frozen_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor) -> Tensor:
    scale = weight * (weight * weight + 1e-5).rsqrt()
    return x * scale.reshape(1, -1, 1, 1) + (bias - mean * scale).reshape(1, -1, 1, 1)


def normalized_classes(x: Tensor, weight: Tensor) -> Tensor:
    return x * F.linear(x.mean((2, 3)), F.normalize(weight), weight[0]).mean()


#: By name: what is done with the model's tensors, and their shapes.
OF_TENSORS: dict[str, tuple[Any, ...]] = {
    "layer-scale": (lambda x, scale: x + scale * x.relu(), (4, 1, 1)),
    "term": (lambda x, term: term + x.relu(), (1, 4, 1, 1)),
    "divisor": (lambda x, divisor: x / divisor.exp(), (1, 4, 1, 1)),
    "learned-number": (lambda x, scale, shift: x * scale + shift - 1, (), (1,)),
    "difference-from-a-tensor": (lambda x, term: term - x, (4, 1, 1)),
    "alpha": (lambda x, term: torch.sub(x, term, alpha=3), (4, 1, 1)),
    "standardized": (standardized, (4, 4, 3, 3), (4, 1, 1, 1)),
    "standardized-by-batch-norm": (standardized_by_batch_norm, (4, 4, 3, 3), (4, 1, 1, 1)),
    "frozen-batch-norm": (frozen_batch_norm, (4,), (4,), (4,)),
    "used-twice": (lambda x, weight: F.conv2d(F.conv2d(x, -weight), -weight), (4, 4, 1, 1)),
    "made-of-nothing": (lambda x: x * torch.full((4, 1, 1), 2.0) + torch.tensor(1.0),),
    "indexed": (lambda x, table: x * table[torch.tensor([3, 0, 0, 1])], (5, 1, 1)),
}


@pytest.mark.parametrize("with_example", [False, True], ids=["without-example", "with-example"])
@pytest.mark.parametrize("name", OF_TENSORS)
def test_tensors_of_the_model(name: str, with_example: bool) -> None:
    function, *shapes = OF_TENSORS[name]
    model, x = randomized(Around(function, *shapes)), torch.randn(2, 3, 8, 8)
    expected = reference(model, x)
    whole = captured(model, x if with_example else None)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), expected)


def test_a_constant_of_a_native_call_stays_one() -> None:
    """It is computed for a part and for what is not in one."""

    def function(x: Tensor, weight: Tensor) -> Tensor:
        doubled = weight * 2
        return F.conv2d(F.conv2d(x, doubled).sin(), doubled) + doubled.sum().sin()

    model, x = Around(function, (4, 4, 1, 1)).eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model)
    assert len(whole.parts) == 2
    assert_close(run_captured(whole, model, x), reference(model, x))


def test_what_follows_from_tensors_that_change_is_computed_again() -> None:
    model = Around(standardized, (4, 4, 3, 3), (4, 1, 1, 1)).eval()
    x = torch.randn(2, 3, 8, 8)
    fast = cnnext.optimize(model, x)
    assert not fast.report().native
    with torch.no_grad():
        model.held[1].mul_(3)
        torch.testing.assert_close(fast(x), model(x))

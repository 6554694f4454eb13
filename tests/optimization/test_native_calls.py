"""What stays a call of PyTorch: for what reason, and that it is still made."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cnnext.optimization.capture import captured
from tests.optimization.support import assert_close, randomized, reference, run_captured


class Around(nn.Module):
    """A layer between two that are supported."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.layer(self.before(x)))


class Calling(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda module, args, output: output + 1)
    return layer


def pre_hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    return layer


def patched(layer: nn.Module) -> nn.Module:
    forward = type(layer).forward
    layer.forward = MethodType(lambda self, input: forward(self, input) + 1, layer)  # type: ignore[method-assign]
    return layer


class Lighter(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Any) -> Tensor:
        return super()._conv_forward(input, weight, bias).sin()


class Holding(nn.Module):
    def __init__(self, tensor: Tensor, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("held", tensor)
        self._function = function

    def forward(self, x: Tensor) -> Any:
        return self._function(self.held, x)


class Whole(nn.Module):
    """Looks at values, so that it cannot be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


# By name: a layer of 4 channels, what is called, and a part of the reason.
KEPT: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "hook": (lambda: hooked(nn.Conv2d(4, 4, 3)), "Conv2d", "hook"),
    "hook-on-container": (lambda: hooked(nn.Sequential(nn.ReLU())), "Sequential", "hook"),
    "pre-hook": (lambda: pre_hooked(nn.ReLU()), "ReLU", "hook"),
    "patched-forward": (lambda: patched(nn.Conv2d(4, 4, 3)), "Conv2d", "replaced"),
    "subclass": (lambda: Lighter(4, 4, 3), "sin", "no operator"),
    "parametrized": (
        lambda: parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
        "ParametrizedConv2d",
        "no operator",
    ),
    "old-weight-norm": (
        lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)),
        "Conv2d",
        "hook",
    ),
    "padding-mode": (
        lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        "Conv2d",
        "padding_mode='reflect'",
    ),
    "indices": (
        lambda: Calling(lambda x: F.max_pool2d(x, 2, return_indices=True)[0]),
        "max_pool2d_with_indices",
        "no operator",
    ),
    "indices-of-a-layer": (
        lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True), Calling(lambda x: x[0])),
        "MaxPool2d",
        "indices",
    ),
    "statistics-of-the-batch": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        "BatchNorm2d",
        "statistics of the batch",
    ),
    "training": (lambda: nn.BatchNorm2d(4), "BatchNorm2d", "statistics of the batch"),
    "other-layer": (lambda: nn.GroupNorm(2, 4), "GroupNorm", "no operator"),
    "float64": (lambda: nn.BatchNorm2d(4).double(), "BatchNorm2d", "float64"),
    "quotient": (lambda: Calling(lambda x: x / x.exp()), "exp", "no operator"),
    "quotient-by-zero": (lambda: Calling(lambda x: (x / 0).clamp(-1, 1)), "truediv", "by zero"),
    "infinity": (lambda: Calling(lambda x: (x + math.inf).tanh()), "add", "not finite"),
    "power": (lambda: Calling(lambda x: x**3), "pow", "exponent=3"),
    "rows-of-the-model": (
        lambda: Holding(torch.ones(4, 10, 10), lambda w, x: x * w),
        "mul",
        "broadcast",
    ),
    "integers-of-the-model": (
        lambda: Holding(torch.arange(4).reshape(4, 1, 1), lambda w, x: x * w),
        "mul",
        "int64",
    ),
    "random-filter": (
        lambda: Holding(torch.randn(4, 4, 1, 1), lambda w, x: F.conv2d(x, F.dropout(w, 0.1))),
        "dropout",
        "random",
    ),
    "mean-of-channels": (
        lambda: Calling(lambda x: x.mean(1, True).expand_as(x)),
        "mean",
        "a mean over dim=1",
    ),
    "permutation": (lambda: Calling(lambda x: x.transpose(2, 3)), "transpose", "no operator"),
    "rows": (lambda: Calling(lambda x: x[:, :, 1:]), "getitem", "index"),
    "softmax-of-rows": (lambda: nn.Softmax(dim=-1), "Softmax", "dim=-1"),
    "bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), "Upsample", "mode='bicubic'"),
    "upsampling-to-a-computed-size": (
        lambda: Calling(lambda x: F.interpolate(x, size=(x.shape[2] * 2, x.shape[3]))),
        "mul",
        "an operand is 2",
    ),
    "upsampling-to-another-width": (
        lambda: Calling(lambda x: F.interpolate(x, size=x.shape[1:3])),
        "interpolate",
        "the size is not",
    ),
    "cropping": (lambda: nn.ZeroPad2d(-1), "ZeroPad2d", "pad="),
    "pad-by-ones": (lambda: Calling(lambda x: F.pad(x, (1, 1), value=1.0)), "pad", "value=1.0"),
    "dropout-in-training": (
        lambda: Calling(lambda x: F.dropout(x, 0.0001, True)),
        "dropout",
        "at random",
    ),
    "view-that-is-no-flattening": (
        lambda: Calling(lambda x: x.view(x.size(0), 2, 2, x.size(2), -1).flatten(1, 2)),
        "view",
        "another shape",
    ),
    "untraceable": (Whole, "Whole", "cannot be traced"),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_call_is_kept(name: str) -> None:
    build, call, reason = KEPT[name]
    model = randomized(Around(build()))
    if name == "training":
        model.layer.train()
        model.layer.momentum = 0.0
    x = torch.randn(2, 3, 12, 12)
    if name == "float64":
        assert any("float64" in each.reason for each in captured(model).native)
        return
    torch.manual_seed(0)
    expected = reference(model, x)
    whole = captured(model)
    assert len(whole.parts) == 2
    first = whole.native[0]
    assert first.call in call.split("|")
    assert any(each in first.reason for each in reason.split("|")), first.reason
    assert first.layer.startswith("layer")
    torch.manual_seed(0)
    assert_close(run_captured(whole, model, x), expected)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), (2, 1, 10, 10)], ids=str)
def test_a_broadcast_addition_is_seen_by_an_example(shape: tuple[int, ...]) -> None:
    """Without one, the sizes are not known."""
    model = Around(Calling(lambda x: x + torch.zeros(shape).to(x)))
    whole = captured(model, torch.randn(2, 3, 12, 12))
    assert any("broadcast" in each.reason or "dimensions" in each.reason for each in whole.native)

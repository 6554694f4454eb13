"""Models that torch.fx cannot trace, and torch.export can."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnext.optimization import exporting
from cnnext.optimization.capture import Captured, captured
from cnnext.optimization.exporting import Exported
from cnnext.optimization.passes import optimized
from tests.optimization.export_networks import MODELS, Asserting, Base, Block, OnShape, leaves
from tests.optimization.support import assert_close, randomized, reference, run_captured


def exported(model: nn.Module, *example: Any) -> Captured:
    whole = captured(model, example)
    assert whole.by == "torch.export", [each.reason for each in whole.native]
    assert isinstance(whole.module, Exported)
    return whole


@pytest.mark.parametrize("size", [(2, 3, 16, 12), (1, 3, 12, 16), (3, 3, 18, 14)], ids=str)
@pytest.mark.parametrize("build", MODELS)
def test_the_graph_computes_what_the_model_does(
    build: Callable[[], nn.Module], size: tuple[int, ...]
) -> None:
    """A graph made by an example of one image computes other batches and sizes."""
    model = randomized(build())
    whole = exported(model, torch.randn(1, 3, 12, 16))
    x = torch.randn(size)
    expected = leaves(reference(model, x))
    result = run_captured(whole, model, x)
    for actual, other in zip(leaves(result), expected, strict=True):
        if isinstance(other, Tensor):
            assert_close(actual, other)
        else:
            assert actual == other


def test_all_of_it_is_in_one_part() -> None:
    """Layers are named, checks and sizes are no calls."""
    whole = exported(randomized(Asserting()), torch.randn(1, 3, 12, 16))
    assert not whole.native
    (part,) = whole.parts
    names = [", ".join(node.layers) for node in optimized(part.graph).nodes[1:]]
    assert names[0] == "first.conv, first.norm, first.act"
    assert names[-1] == "head"


class OfTwoImages(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(y.reshape(2, 4, *y.shape[2:]))


def test_a_program_of_one_batch_is_refused() -> None:
    model = randomized(OfTwoImages())
    whole = captured(model, torch.randn(2, 3, 12, 16))
    assert whole.by == "torch.fx, submodule by submodule"
    assert "one batch alone" in whole.native[0].reason


def test_without_an_example_there_is_a_hint() -> None:
    whole = captured(randomized(Asserting()))
    assert whole.by == "torch.fx, submodule by submodule"
    assert "an example" in whole.native[0].reason


# --------------------------------------------------------------------- what is not exported


class Remembering(Base):
    """Keeps the last result, and a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.sizes: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.sizes != x.shape:
            self.sizes = x.shape
        self.seen.append(self.first(x))
        return self.second(self.seen[-1])


class Counting(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.second(self.first(x)) * self.calls


class OnValues(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x) if x.mean() > 0 else x


class Handle:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Wrapping(Base):
    def forward(self, x: Tensor) -> Handle:
        return Handle(self.second(self.first(x)))


class Native(nn.Module):
    """Has nothing that a plan has."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) if x.shape[2] > 3 else x


def hooked() -> nn.Module:
    model = OnShape()
    model.second.register_forward_hook(lambda module, args, output: output + 1)
    return model


class Aliasing(Base):
    """Overwrites a value by another name."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x) if x.shape[2] > 3 else x
        F.relu_((y - 1).flatten(1)) if x.shape[2] < 3 else F.hardtanh_(y.flatten(1))
        return self.second(torch.tanh(y))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "buffers-that-change": (Counting, "overwrites"),
    "another-name": (Aliasing, "by another name"),
    "values": (OnValues, "torch.export fails"),
    "objects": (Wrapping, "returns a Handle"),
    "hooks": (hooked, "second has a forward hook"),
    "nothing-to-plan": (Native, "nothing that has a plan"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    build, reason = REFUSED[name]
    model = randomized(build())
    whole = captured(model, torch.randn(2, 3, 12, 16))
    assert whole.by in ("torch.fx, submodule by submodule", "nothing")
    assert reason in whole.native[0].reason


def test_the_model_is_not_changed() -> None:
    """It is called for the example, and not by torch.export."""
    model, x = randomized(Remembering()), torch.randn(1, 3, 12, 16)
    whole = captured(model, x)
    assert all(type(each) is Tensor for each in model.seen)
    assert model.sizes == x.shape
    assert all(type(size) is int for size in model.sizes)
    assert whole.by != "torch.fx"


def test_failures_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured(randomized(OnValues()), torch.randn(2, 3, 12, 16))
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_PATIENCE", -1.0)
    whole = captured(randomized(OnShape()), torch.randn(2, 3, 12, 16))
    assert whole.by == "torch.fx, submodule by submodule"
    assert "takes more than" in whole.native[0].reason


def test_what_torch_fx_traces_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("exported")

    monkeypatch.setattr("cnnext.optimization.capture.Exported", fail)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    assert captured(model, torch.randn(1, 3, 8, 8)).by == "torch.fx"


def test_the_better_of_two_is_taken() -> None:
    """torch.fx calls blocks whole that it cannot trace, and captures them one by one."""
    model = randomized(nn.Sequential(Block(), Block(4), nn.Conv2d(4, 3, 1)))
    whole = exported(model, torch.randn(1, 3, 12, 16))
    assert len(whole.parts) == 1
    assert captured(model).by == "torch.fx"
    assert captured(model).planned() < whole.planned()
    model = randomized(nn.Sequential(Block(), OnValues(), nn.Conv2d(4, 3, 1)))
    model[1].first = Block(4)
    assert captured(model, torch.randn(1, 3, 12, 16)).by == "torch.fx"

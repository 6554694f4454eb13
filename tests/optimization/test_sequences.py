"""Recurrent layers and sequences, from images or not, in plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.models.crnn import CRNN
from tests.optimization.support import (
    assert_close,
    graph_of,
    randomized,
    reference,
    run,
)


class Classifier(nn.Module):
    """Several layers of cells, and what is taken of their results."""

    def __init__(self, layer: Callable[..., nn.RNNBase], take: str, **options: Any) -> None:
        super().__init__()
        self.layers = layer(6, 9, **options)
        self.first = options.get("batch_first", False)
        self.take = take
        width = 9 * (2 if self.layers.bidirectional else 1)
        self.last = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.layers(x)
        if isinstance(h, tuple) or isinstance(self.layers, nn.LSTM):
            h = h[0]
        if self.take == "all":
            return self.last(y)
        if self.take == "last":
            return self.last(y[:, -1, :] if self.first else y[-1])
        if self.take == "state":
            return self.last(h[-1])
        assert self.take == "states"
        return self.last(torch.cat((h[-2], h[-1]), dim=1))


class Columns(nn.Module):
    """An image's columns or pixels as a sequence, by one of the ways that lead there."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv2d(3, 6, 3)
        self.layers = nn.GRU(6, 5, bidirectional=True, batch_first=way in ("pixels", "transpose"))
        self.last = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        if self.way == "flatten":
            x = torch.flatten(x, 1, 2).permute(2, 0, 1)
        elif self.way == "squeeze":
            x = x.squeeze(2).permute(2, 0, 1).contiguous()
        elif self.way == "transpose":
            x = x.squeeze(-2).transpose(1, 2)
        else:
            x = x.flatten(2).permute(0, 2, 1)
        y: Tensor = self.last(self.layers(x)[0])
        return y.transpose(0, 1)


CLASSIFIERS: dict[str, tuple[Any, ...]] = {
    "lstm": (nn.LSTM, "all", {}),
    "lstm-batch-first": (nn.LSTM, "last", {"batch_first": True, "num_layers": 2}),
    "lstm-state": (nn.LSTM, "state", {"num_layers": 3, "dropout": 0.3}),
    "lstm-states": (nn.LSTM, "states", {"bidirectional": True, "batch_first": True}),
    "gru": (nn.GRU, "last", {"bias": False}),
    "gru-states": (nn.GRU, "states", {"bidirectional": True, "num_layers": 2}),
    "rnn": (nn.RNN, "state", {"nonlinearity": "relu", "batch_first": True}),
    "rnn-tanh": (nn.RNN, "all", {"bidirectional": True, "batch_first": True}),
}
WAYS = ("flatten", "squeeze", "transpose", "pixels")


def classifier(name: str) -> nn.Module:
    torch.manual_seed(0)
    layer, take, options = CLASSIFIERS[name]
    return Classifier(layer, take, **options).eval()


def check(fast: nn.Module, model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)
        assert_near(fast(x), reference(model, x))


def assert_near(y: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_one_plan(name: str) -> None:
    model, x = classifier(name), torch.randn(3, 7, 6)
    graph = graph_of(model, x)
    (y,) = run(graph, model, x)
    assert_close(y, reference(model, x))
    fast = cnnext.optimize(model, x, strict=True)
    for size in ((3, 7, 6), (1, 1, 6), (12, 1, 6), (1, 12, 6)):
        check(fast, model, torch.randn(size))


@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_read(way: str) -> None:
    model = randomized(Columns(way))
    height = 8 if way == "pixels" else 3
    example = torch.randn(2, 3, height, 9)
    (y,) = run(graph_of(model, example), model, example)
    assert_close(y, reference(model, example))
    fast = cnnext.optimize(model, example, strict=True)
    for batch, width in ((1, 9), (3, 9), (3, 14)):
        x = torch.randn(batch, 3, height, width)
        check(fast, model, x)
        check(fast, model, x.to(memory_format=torch.channels_last))


def test_crnn_is_one_plan() -> None:
    torch.manual_seed(0)
    model = randomized(CRNN(layers=nn))
    fast = cnnext.optimize(model, torch.randn(1, 1, 32, 40), strict=True)
    for batch, width in ((1, 40), (3, 24)):
        check(fast, model, torch.randn(batch, 1, 32, width))
    steps = {step.layers[0]: step for step in fast.report().steps if step.layers}
    assert steps["lstm1"].kernel.startswith("recurrence_")
    assert steps["lstm2"].line.split()[0] == "recurrence"
    assert steps["join"].line.split()[0] == "linear"


def test_changed_weights_are_noticed() -> None:
    model, x = classifier("lstm-states"), torch.randn(3, 7, 6)
    fast = cnnext.optimize(model, x)
    before = fast(x)
    for name in ("weight_ih_l0", "weight_hh_l0_reverse", "bias_hh_l0"):
        with torch.no_grad():
            model.get_parameter(f"layers.{name}").mul_(2)
        check(fast, model, x)
        assert not torch.equal(fast(x), before)
        before = fast(x)


class Zeroed(nn.Module):
    """Gives a layer zeros to start from, in one of the usual ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        cls = nn.GRU if way == "gru" else nn.LSTM
        self.layers = cls(6, 9, num_layers=2, batch_first=True)
        self.last = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "zeros":
            h = torch.zeros(2, x.size(0), 9).to(x.device)
            c = torch.zeros((2, x.size(0), 9)).to(x.device)
            y, _ = self.layers(x, (h.detach(), c.detach()))
        elif self.way == "new_zeros":
            h = x.new_zeros((2, x.shape[0], 9))
            y, _ = self.layers(x, hx=(h, h))
        elif self.way == "used":
            h = torch.zeros(2, x.size(0), 9)
            y, _ = self.layers(x, (h, h))
            y = y + h[:1].transpose(0, 1)
        elif self.way == "constant":
            h = x.new_zeros(2, 3, 9)
            y, _ = self.layers(x, (h, h))
        else:
            y, _ = self.layers(x, torch.zeros(2, x.size(0), 9, device=x.device))
        out: Tensor = self.last(y[:, -1])
        return out


@pytest.mark.parametrize("way", ["zeros", "new_zeros", "gru"])
def test_zeros_to_start_from_are_forgotten(way: str) -> None:
    model, x = Zeroed(way).eval(), torch.randn(3, 7, 6)
    fast = cnnext.optimize(model, x, strict=True)
    for size in ((3, 7, 6), (5, 2, 6)):
        x = torch.randn(size)
        with torch.no_grad():
            torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("way", "is_planned"), [("used", True), ("constant", False)])
def test_zeros_that_matter(way: str, is_planned: bool) -> None:
    """What else uses them still does; of a constant size, they fit no other batch."""
    model, x = Zeroed(way).eval(), torch.randn(3, 7, 6)
    fast = cnnext.optimize(model, x)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)
    assert any(step.line.startswith("recurrence") for step in fast.report().steps) == is_planned
    if not is_planned:
        with pytest.raises(RuntimeError, match="hidden"):
            fast(torch.randn(2, 7, 6))


class Other(nn.Module):
    """Takes of an LSTM what no plan has."""

    def __init__(self, call: Callable[[nn.LSTM, Tensor], Tensor], **options: Any) -> None:
        super().__init__()
        self.first, self.layers = nn.Linear(6, 6), nn.LSTM(6, 9, **options)
        self._call = call

    def forward(self, x: Tensor) -> Tensor:
        return self._call(self.layers, self.first(x))


NATIVE: dict[str, tuple[Any, ...]] = {
    "cells": (lambda lstm, x: lstm(x)[1][1], {}, "pieces"),
    "all-states": (lambda lstm, x: lstm(x)[1][0], {}, "pieces"),
    "first-states": (
        lambda lstm, x: lstm(x, (x.new_ones(1, 7, 9), x.new_ones(1, 7, 9)))[0],
        {},
        "first states",
    ),
    "projection": (lambda lstm, x: lstm(x)[0], {"proj_size": 3}, "proj_size=3"),
}


@pytest.mark.parametrize("name", NATIVE)
def test_what_no_plan_has_stays_a_call(name: str) -> None:
    call, options, reason = NATIVE[name]
    model, x = Other(call, **options).eval(), torch.randn(3, 7, 6)
    fast = cnnext.optimize(model, x)
    check(fast, model, x)
    (why,) = (each.reason for each in fast.report().native if each.call == "LSTM")
    assert reason in why and "runs as cnnext.nn.LSTM" in why


def test_another_height_is_computed_natively() -> None:
    """The flattening of several rows makes more features than the layer takes."""
    model = randomized(Columns("flatten"))
    fast = cnnext.optimize(model, torch.randn(1, 3, 3, 9))
    with pytest.raises(RuntimeError, match="input.size|expected"):
        fast(torch.randn(1, 3, 4, 9))


def test_features_where_a_sequence_was() -> None:
    """A single sequence without a batch: native knows what that means."""
    model = classifier("lstm")
    fast = cnnext.optimize(model, torch.randn(3, 7, 6))
    check(fast, model, torch.randn(5, 6))


def test_a_sequence_where_features_were() -> None:
    """Without an example there is no telling; a flattening of features would be nothing."""
    model = nn.Sequential(nn.Linear(6, 4), nn.Flatten()).eval()
    fast = cnnext.optimize(model)
    check(fast, model, torch.randn(3, 6))
    check(fast, model, torch.randn(3, 7, 6))

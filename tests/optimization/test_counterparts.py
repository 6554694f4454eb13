"""Layers that no plan has run as those of cnnext, and stay the original's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext


class Reader(nn.Module):
    """A pool and a recurrent layer between convolutions, all of which `convert` would swap."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.pool = nn.AdaptiveMaxPool2d((1, None))
        self.layers = nn.ModuleDict({"lstm": nn.LSTM(4, 5, bidirectional=True, proj_size=0)})
        self.join = nn.Linear(10, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool(torch.relu(self.conv(x)))
        y, (h, _) = self.layers["lstm"](x.squeeze(2).permute(2, 0, 1))
        return self.join(y), h


class Looking(nn.Module):
    """Cannot be traced, so that its layers are called one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(x if x.sum() > 0 else -x)[0]
        return y


@pytest.fixture
def model() -> Reader:
    torch.manual_seed(0)
    return Reader().eval()


X = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))


def check(fast: nn.Module, model: nn.Module, x: Tensor = X) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


def reasons(fast: Any) -> dict[str, str]:
    return {call.layer: call.reason for call in fast.report().native}


def test_the_report_says_what_runs(model: Reader) -> None:
    fast = cnnext.optimize(model, X)
    check(fast, model)
    assert reasons(fast)["layers.lstm"].endswith("; runs as cnnext.nn.LSTM")
    assert reasons(fast)["pool"].endswith("; runs as cnnext.nn.AdaptiveMaxPool2d")
    assert type(model.layers["lstm"]) is nn.LSTM
    assert cnnext.restore(fast) is model


def test_in_what_cannot_be_traced() -> None:
    model, x = Looking().eval(), torch.randn(5, 2, 3)
    fast = cnnext.optimize(model, x)
    check(fast, model, x)
    assert reasons(fast)["lstm"] == "runs as cnnext.nn.LSTM"
    assert type(model.lstm) is nn.LSTM


def write(model: Reader) -> None:
    with torch.no_grad():
        model.get_parameter("layers.lstm.weight_hh_l0_reverse").mul_(3)


def replace(model: Reader) -> None:
    model.layers["lstm"].weight_ih_l0 = nn.Parameter(torch.randn(20, 4))


def move_and_assign(model: Reader) -> None:
    """Moving gives a recurrent layer another list of its weights."""
    model.float()
    state = {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def train(model: Reader) -> None:
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.5)
    model(X)[0].square().sum().backward()
    optimizer.step()
    model.eval()


@pytest.mark.parametrize("change", [write, replace, move_and_assign, train])
def test_changes_of_the_original_are_noticed(model: Reader, change: Any) -> None:
    fast = cnnext.optimize(model, X)
    before = fast(X)[1]
    change(model)
    check(fast, model)
    assert not torch.allclose(fast(X)[1], before, atol=1e-3)


def test_the_state_is_as_before(model: Reader) -> None:
    keys, modules = list(model.state_dict()), dict(model.named_modules())
    cnnext.optimize(model, X)(X)
    assert list(model.state_dict()) == keys
    assert dict(model.named_modules()) == modules


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda fast: pickle.loads(pickle.dumps(fast))], ids=["copy", "pickle"]
)
def test_copies_have_layers_of_their_own(model: Reader, copied: Any) -> None:
    fast = cnnext.optimize(model, X)
    other = copied(fast)
    write(model)
    check(other, other.original)
    assert not torch.allclose(other(X)[1], fast(X)[1], atol=1e-3)


def test_a_hook_stays_with_the_original(model: Reader) -> None:
    called = []
    model.layers["lstm"].register_forward_hook(lambda module, *_: called.append(module))
    fast = cnnext.optimize(model, X)
    called.clear()
    fast(X)
    assert called == [model.layers["lstm"]]
    assert "runs as" not in reasons(fast)["layers.lstm"]

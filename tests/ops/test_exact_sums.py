"""Sums that users rely on being exact, through modules, on every instruction set.

Each case is a real use; `csrc/conv2d/exact_sums.h` has the rules. Expectations are computed in
float64, where every one of these sums is exact or nearly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cnnext
from cnnext.runtime import exact_sums
from cnnext.testing import kernels

ISAS = kernels.built_isas()[: kernels.built_isas().index(kernels.active_isa()) + 1]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use_isa(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _seeded(seed: int) -> None:
    torch.manual_seed(seed)


def sums(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """cnnext's convolution and the exact one, in float64."""
    layer = cnnext.Conv2d(*weight.shape[1::-1], weight.shape[2], padding="same", bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cnnext.ExactSumsWarning)
            actual = layer(x)
    return actual, F.conv2d(x.double(), weight.double(), padding="same")


def input_gradient(dy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    x = torch.zeros(dy.shape[0], weight.shape[1], *dy.shape[2:], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cnnext.ExactSumsWarning)
        cnnext.functional.conv2d(x, weight, padding=1).backward(dy)
    exact = torch.nn.grad.conv2d_input(x.shape, weight.double(), dy.double(), padding=1)
    return x.grad, exact


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_partial_convolution_counts_valid_pixels(isa: str, layout: torch.memory_format) -> None:
    mask = torch.ones(1, 1, 60, 60)
    mask[..., 8:33, 6:41] = 0
    mask[..., 17, 23] = 1
    mask[..., 44:, 2:15] = 0
    x = mask.expand(1, 48, 60, 60).contiguous(memory_format=layout)
    actual, exact = sums(x, torch.ones(48, 48, 3, 3))
    assert (exact == 0).any()
    assert torch.equal(actual.double(), exact)


@pytest.mark.parametrize(("channels", "side"), ((48, 3), (24, 5)))
def test_integers(isa: str, channels: int, side: int) -> None:
    x = torch.randint(-4, 5, (1, channels, 44, 44)).float()
    actual, exact = sums(x, torch.randint(-3, 4, (channels, channels, side, side)).float())
    assert torch.equal(actual.double(), exact)


def test_integers_too_large_for_the_local_form(isa: str) -> None:
    """Sums below 2^24, but with intermediate ones of F(2,3) that may be longer."""
    x = torch.randint(-2000, 2001, (1, 32, 24, 24)).float()
    actual, exact = sums(x, torch.randint(-15, 16, (32, 32, 3, 3)).float())
    assert exact.abs().max() < 2**24
    assert torch.equal(actual.double(), exact)


def test_signs_of_binarised_nets(isa: str) -> None:
    x, weight = torch.randn(1, 96, 30, 30).sign(), torch.randn(96, 96, 3, 3).sign()
    actual, exact = sums(x, weight)
    assert torch.equal(actual.sign().double(), exact.sign())


def test_masked_filter(isa: str) -> None:
    x = torch.rand(1, 256, 22, 22) * 1e4
    x[..., :11, :] = 0
    weight = torch.rand(256, 256, 3, 3)
    weight[:, :, 2] = 0
    actual, exact = sums(x, weight)
    assert (exact == 0).any()
    assert torch.equal(actual == 0, exact == 0)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("step", (10, 35))
def test_events_leave_empty_windows_empty(isa: str, step: int, layout: torch.memory_format) -> None:
    """Many events make the call run by F(2,3), few are summed exactly tile by tile."""
    x = torch.zeros(1, 48, 70, 70)
    at = x[..., 4::step, 3::step]
    at.copy_(torch.randn(at.shape) * 80)
    x = x.contiguous(memory_format=layout)
    actual, exact = sums(x, torch.randn(48, 48, 3, 3))
    assert (actual[exact == 0] == 0).all()


def test_variances_are_not_negative(isa: str) -> None:
    x = torch.randn(1, 96, 36, 36).relu().square()
    x[..., 10:16, :] = 0
    actual, _ = sums(x, torch.exp(2 * torch.randn(96, 96, 3, 3) - 6))
    assert (actual >= 0).all()


@pytest.mark.parametrize("bright", (slice(0, 14), slice(2, 3)), ids=("half", "column"))
def test_dark_beside_bright(isa: str, bright: slice) -> None:
    x = torch.rand(2, 128, 30, 90) + 0.5
    x[0, ..., bright] *= 1e5
    weight = torch.randn(128, 128, 3, 3) * 0.1
    actual, exact = sums(x, weight)
    scale = F.conv2d(x.double(), weight.double().abs(), padding=1)
    assert ((actual - exact).abs() <= 1e-4 * scale).all()


def test_gradients_of_integers_under_integers(isa: str) -> None:
    dy = torch.randint(-4, 5, (1, 48, 20, 20)).float()
    actual, exact = input_gradient(dy, torch.randint(-3, 4, (48, 64, 3, 3)).float())
    assert torch.equal(actual.double(), exact)


def test_gradients_where_nothing_is_passed_back(isa: str) -> None:
    dy = torch.zeros(1, 48, 70, 70)
    dy[..., 4::35, 3::10] = torch.randn(1, 48, 2, 7) * 80
    actual, exact = input_gradient(dy, torch.randn(48, 64, 3, 3))
    assert (actual[exact == 0] == 0).all()


def test_gradients_under_filters_of_one_sign(isa: str) -> None:
    actual, _ = input_gradient(torch.randn(1, 64, 20, 20).relu(), torch.rand(64, 64, 3, 3))
    assert (actual >= 0).all()


@pytest.mark.parametrize("value", (float("inf"), float("nan"), 1e38))
def test_what_is_not_finite_stays_in_its_windows(isa: str, value: float) -> None:
    x, weight = torch.randn(1, 64, 40, 40), torch.randn(64, 64, 3, 3)
    x[0, 5, 7, 9] = value
    actual, _ = sums(x, weight)
    x[0, 5, 7, 9] = 0
    without, _ = sums(x, weight)
    seen = torch.zeros(40, 40, dtype=torch.bool)
    seen[6:9, 8:11] = True
    torch.testing.assert_close(actual[..., ~seen], without[..., ~seen], rtol=1e-4, atol=1e-4)
    assert not (actual[..., seen].abs() < 1e30).any()


# ------------------------------------------------------------------------- explained, and said once


def explained(x: Tensor, weight: Tensor) -> cnnext.Explanation:
    layer = nn.Conv2d(*weight.shape[1::-1], weight.shape[2], padding=weight.shape[2] // 2)
    layer.weight = nn.Parameter(weight)
    with cnnext.flags(conv_algorithm="winograd4"):
        return cnnext.explain(layer, x)


RULES = {
    "integers": (torch.ones(64, 64, 3, 3), "integers"),
    "one sign": (torch.rand(64, 64, 3, 3), "one sign"),
    "zero tap": (torch.randn(64, 64, 3, 3).tril(), "a tap"),
    "not finite": (torch.randn(64, 64, 3, 3) * float("nan"), "NaN"),
}
RULES["integers"][0][:, ::2] = -1


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_named(rule: str) -> None:
    weight, words = RULES[rule]
    explanation = explained(torch.ones(1, 64, 30, 30), weight)
    assert words in explanation.ruled_out and words in str(explanation)
    assert "winograd4" not in explanation.chosen


def test_an_ordinary_call_is_ruled_by_nothing() -> None:
    explanation = explained(torch.randn(1, 64, 30, 30), torch.randn(64, 64, 3, 3))
    assert explanation.ruled_out is None
    assert explanation.exact_tiles == 0
    assert "winograd4" in explanation.chosen


def test_exact_tiles_are_counted() -> None:
    x = torch.ones(1, 64, 48, 48)
    x[..., 17:20, 17:20] = 0  # the window in the middle is empty
    explanation = explained(x, torch.randn(64, 64, 3, 3))
    assert (explanation.exact_tiles, explanation.tiles) == (1, 144)
    assert "1 of 144" in str(explanation)
    assert "winograd4" in explanation.chosen
    x[..., 20:] = 0
    explanation = explained(x, torch.randn(64, 64, 3, 3))
    assert explanation.exact_tiles > 0.03 * explanation.tiles
    assert f"{explanation.exact_tiles} of 144" in explanation.ruled_out
    assert "winograd4" not in explanation.chosen


def test_many_exact_tiles_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_sums, "_said", False)
    monkeypatch.setattr(exact_sums._many, "value", 0)
    weight = torch.randn(64, 64, 3, 3)
    x = torch.ones(1, 64, 48, 48)
    x[..., 21:] = 0
    with cnnext.flags(conv_algorithm="winograd4"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cnnext.functional.conv2d(torch.ones_like(x), weight, padding=1)
        x[..., ::8, ::8] = 1e5
        with pytest.warns(cnnext.ExactSumsWarning, match="10 %"):
            cnnext.functional.conv2d(x, weight, padding=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cnnext.functional.conv2d(x, weight, padding=1)

"""Chains of convolutions over bands of rows, whose wide values never leave a core's cache."""

from __future__ import annotations

import pytest
import torch

import cnnext
from cnnext.runtime.library import direct
from cnnext.testing.timing import torch_threads
from tests.optimization.test_plan import Network

POINTWISE = "stride=1,1 padding=0,0 dilation=1,1 groups=1"
EXPAND = f"conv2d 1 0 weight=0 bias=1 {POINTWISE} activation=clamp,0,6"
FILTER = "activation=silu groups=96"
PROJECT = f"conv2d 3 2 weight=3 {POINTWISE}"
EXPANDED, FILTERED, PROJECTED = [(96, 4, 1, 1), (96,)], [(96, 1, 3, 3)], [(4, 96, 1, 1)]

#: A core's own cache, in bytes.
_L2 = int(torch.ops.cnnext.cache_bytes().split()[1])

#: By name: lines and sizes of weights; the images are too large for the caches of any machine's
#: cores once they have 96 channels.
CHAINS: dict[str, tuple[str, list[tuple[int, ...]]]] = {
    "inverted_bottleneck": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=1,1 dilation=1,1 {FILTER}\n"
        f"conv2d 3 2 0 weight=3 {POINTWISE} residual=before",
        EXPANDED + FILTERED + PROJECTED,
    ),
    "stride_2": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=2,2 padding=1,1 dilation=1,1 {FILTER}\n{PROJECT}",
        EXPANDED + FILTERED + PROJECTED,
    ),
    "stride_3": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=3,1 padding=0,1 dilation=1,1 {FILTER}\n{PROJECT}",
        EXPANDED + [(96, 1, 2, 3)] + PROJECTED,
    ),
    "5x5": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=2,2 dilation=1,1 {FILTER}",
        EXPANDED + [(96, 1, 5, 5)],
    ),
    "dilation_5": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=5,5 dilation=5,5 {FILTER}",
        EXPANDED + FILTERED,
    ),
    "stem": (
        "conv2d 1 0 weight=0 bias=1 stride=2,1 padding=1,1 dilation=1,1 groups=1 activation=relu\n"
        f"conv2d 2 1 weight=2 stride=1,1 padding=1,1 dilation=1,1 {FILTER}\n{PROJECT}",
        [(96, 4, 3, 3), (96,), *FILTERED, *PROJECTED],
    ),
    "into_a_range": (
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=1,1 dilation=1,1 {FILTER}\n"
        f"{PROJECT}\nconcat 4 3 0",
        EXPANDED + FILTERED + PROJECTED,
    ),
}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [(116, 120), (4600, 3)], ids=str)
@pytest.mark.parametrize("name", CHAINS)
def test_chains(name: str, size: tuple[int, int], threads: int) -> None:
    lines, sizes = CHAINS[name]
    network = Network(lines, sizes)
    with torch_threads(threads):
        for batch in (1, 3):
            x = torch.randn(batch, 4, *size)
            report = direct.plan_report(network.number, [x])
            # In less, the rows that 5x5 and dilated filters need do not fit; and short rows of the
            # stem are gathered sooner than read directly.
            if _L2 >= 1 << 20 and (name, size[1]) != ("stem", 3):
                assert report.count("; conv2d") == lines.count("\nconv2d"), report
                assert "+depthwise" in report
            network.check(x)
            assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    "lines",
    [
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=1,1 dilation=1,1 groups=96\nadd 3 2 1",
        f"{EXPAND}\nconv2d 2 1 weight=2 stride=1,1 padding=1,1 dilation=1,1 groups=96 pool=2",
        f"{EXPAND}\nactivation 2 1 activation=relu",
    ],
    ids=["used_twice", "pooled", "no_depthwise"],
)
def test_no_chain(lines: str) -> None:
    network = Network(lines, EXPANDED + FILTERED)
    x = torch.randn(1, 4, 190, 180)
    assert ";" not in direct.plan_report(network.number, [x])
    network.check(x)


def test_a_filter_that_transforms_suit_is_in_no_chain() -> None:
    lines = (
        "conv2d 1 0 weight=0 stride=1,1 padding=1,1 dilation=1,1 groups=1\n"
        "conv2d 2 1 weight=1 stride=1,1 padding=1,1 dilation=1,1 groups=96"
    )
    network = Network(lines, [(96, 96, 3, 3), (96, 1, 3, 3)])
    report = direct.plan_report(network.number, [torch.randn(1, 96, 120, 120)])
    assert "winograd" in report
    assert ";" not in report


@pytest.mark.parametrize("size", [(1, 9000), (3, 9000)], ids=str)
def test_few_rows_are_shared_out_by_pixels(size: tuple[int, int]) -> None:
    lines, sizes = CHAINS["inverted_bottleneck"]
    network = Network(lines, sizes)
    x = torch.randn(1, 4, *size)
    with torch_threads(5):
        assert ";" not in direct.plan_report(network.number, [x])
        network.check(x)


@pytest.mark.parametrize("attribute", ["x_shift=2", "x_activation=relu"])
def test_a_prologue_without_factors_is_an_error(attribute: str) -> None:
    lines = (
        f"conv2d 1 0 weight=0 bias=1 {attribute} {POINTWISE}\n"
        f"conv2d 2 1 weight=3 stride=1,1 padding=1,1 dilation=1,1 {FILTER}"
    )
    network = Network(lines, [(96, 4, 1, 1), (96,), (4,), (96, 1, 3, 3)])
    with pytest.raises(RuntimeError, match="it lacks x_scale"):
        network(torch.randn(1, 4, 116, 120))


def test_small_values_need_no_bands() -> None:
    lines, sizes = CHAINS["inverted_bottleneck"]
    assert ";" not in direct.plan_report(Network(lines, sizes).number, [torch.randn(1, 4, 7, 9)])


def test_report_names_all_layers() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 96, 1), torch.nn.Conv2d(96, 96, 3, groups=96), torch.nn.Conv2d(96, 4, 1)
    ).eval()
    report = cnnext.optimize(model, torch.randn(1, 4, 190, 180)).report()
    assert ("0", "1", "2") in [step.layers for step in report.steps]
    assert "3 conv2d" in str(report)

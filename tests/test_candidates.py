"""The choice among conv2d's kernels, judged by the stored times of all candidates."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnext.cli import results
from cnnext.testing import kernels, machine
from cnnext.testing.conv2d_cases import LENET5
from cnnext.testing.timing import compare_blocks

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))
candidates = importlib.import_module("candidates")
pytest.importorskip("_kernels", reason="build/cmake is not on the path: run `make test`")

#: The convolutions where another kernel was faster by more than 10 %.
KNOWN = {
    ("googlenet_1x1_192_32@28", "channels_last"): "conv2d_implicit_gemm_f32_avx512",
    ("googlenet_1x1_528_256@14", "NCHW"): "conv2d_direct_f32_avx512",
    ("googlenet_1x1_528_256@14", "channels_last"): "conv2d_direct_f32_avx512",
    ("googlenet_1x1_832_48@7", "channels_last"): "conv2d_implicit_gemm_f32_avx512",
    ("resnet50_3x3_s2_256@28", "NCHW"): "conv2d_direct_f32_avx512",
    ("vgg16_conv4_2_b16", "NCHW"): "conv2d_winograd4_shared_f32_avx512",
    ("vgg16_conv5_1_b16", "NCHW"): "conv2d_winograd4_shared_f32_avx512",
    ("googlenet_1x1_256_128@28_b16", "channels_last"): "conv2d_implicit_gemm_f32_avx512",
    ("googlenet_1x1_480_192@14_b16", "channels_last"): "conv2d_implicit_gemm_f32_avx512",
    ("googlenet_1x1_512_64@14_b16", "channels_last"): "conv2d_direct_f32_avx512",
    ("googlenet_1x1_512_128@14_b16", "NCHW"): "conv2d_implicit_gemm_f32_avx512",
    ("googlenet_1x1_512_128@14_b16", "channels_last"): "conv2d_direct_f32_avx512",
    ("googlenet_1x1_832_48@7_b16", "NCHW"): "conv2d_implicit_gemm_f32_avx512",
    ("resnet50_1x1_128_512@28_b16", "NCHW"): "conv2d_implicit_gemm_f32_avx512",
    ("resnet50_1x1_512_256@28_b16", "channels_last"): "conv2d_direct_f32_avx512",
}


@pytest.fixture
def document() -> Iterator[dict[str, Any]]:
    """The stored rows and their machine, for which kernels are chosen."""
    document = results.read(FOLDER / "results/candidates.json")
    isa, order = document["machine"]["isa"], kernels.built_isas()
    if kernels.active_isa() not in order[order.index(isa) :]:
        pytest.skip(f"the stored times are of {isa} kernels, which cannot run here")
    with candidates.model_of(document["machine"]):
        yield document


@pytest.fixture
def rows(document: dict[str, Any]) -> list[results.Row]:
    return document["rows"]


def test_every_convolution_of_the_networks_is_stored(rows: list[results.Row]) -> None:
    expected = {c.with_batch(n).name for c in candidates.network_cases() for n in (1, 16)}
    assert {row["case"] for row in rows} == expected
    assert len(rows) == len(expected)


def test_choices_are_within_a_tenth_of_the_best(rows: list[results.Row]) -> None:
    timed = {name.split()[0] for row in rows for name in row["times"]}
    found = list(candidates.choices(rows))
    assert len(found) == 2 * len(rows)
    newer = {choice.row["case"] for choice in found if choice.chosen not in timed}
    assert newer == {"lenet5_conv1", "lenet5_conv1_b16"}, "kernels that came after the times"
    found = [choice for choice in found if choice.chosen in timed]
    slower = {
        (choice.row["case"], choice.layout): choice.best for choice in found if choice.quality < 0.9
    }
    assert slower == KNOWN
    assert candidates.quality(found) > 0.98
    assert min(choice.quality for choice in found) > 0.6


def test_a_bad_prediction_is_judged_so_and_fitted(document: dict[str, Any]) -> None:
    bindings, isa = candidates.tool_build(), document["machine"]["isa"]
    some = [row for row in document["rows"] if "3x3" in row["case"]]
    before, rates = candidates.quality(candidates.choices(some)), bindings.rates(isa)
    name = "point_vectors"
    bindings.set_rate(isa, name, rates[name] / 8)
    spoiled = candidates.quality(candidates.choices(some))
    assert spoiled < 0.9 < before
    fitted = candidates.fit(some, isa)
    assert fitted == bindings.rates(isa) != rates
    assert candidates.quality(candidates.choices(some)) > (spoiled + before) / 2


@pytest.mark.parametrize("direction", candidates.DIRECTIONS)
def test_a_row_has_native_and_every_candidate(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = functools.partial(compare_blocks, threads=1)

    def fast(calls: Any, *, setting: Any, **options: Any) -> Any:
        return once(calls, setting=setting, min_block_s=0, discard_s=0, blocks=1)

    monkeypatch.setattr(candidates, "compare_blocks", fast)
    row = candidates.measure(LENET5[1], direction, threads=1)
    for layout in candidates.LAYOUTS:
        seconds = candidates.predict(row["sizes"], direction, layout).seconds
        worth_it = 5 * min(seconds.values())
        expected = {
            f"{name} {layout}"
            for name in seconds
            if name.endswith(kernels.active_isa()) and seconds[name] <= worth_it
        }
        timed = {name for name in row["times"] if name.endswith(f" {layout}")}
        assert timed == expected | {f"torch {layout}"}
        assert expected
    assert min(row["times"].values()) > 0
    with candidates.model_of(machine.describe()):
        judged = list(candidates.choices([row]))
    assert [choice.layout for choice in judged] == list(candidates.LAYOUTS)

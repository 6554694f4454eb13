"""benchmarks/layers.py and ceilings.py: what they measure is checked, complete, and summed up."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnnext.testing import kernels
from cnnext.testing.cases import Conv2dCase
from cnnext.testing.conv2d_cases import LENET5, RESNET50

_loops = pytest.importorskip("_loops", reason="build/cmake is not on the path: run `make test`")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
ceilings, layers = importlib.import_module("ceilings"), importlib.import_module("layers")

ONCE: dict[str, Any] = {"min_block_s": 0, "discard_s": 0, "blocks": 1}
ISAS = kernels.built_isas()[: kernels.built_isas().index(kernels.detected_isa()) + 1]
THREADS = (1, 2, 5)


@pytest.fixture(autouse=True)
def _little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FLOPS": 10_000, "_BYTES": 1 << 16, "_MEMORY_BYTES": 1 << 20}.items():
        monkeypatch.setattr(ceilings, name, value)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", THREADS)
def test_loops_do_the_work_that_they_report(isa: str, threads: int) -> None:
    steps = [_loops.multiply_add(isa, n, threads=threads) for n in (1, 7)]
    assert 0 < 7 * steps[0] == steps[1]
    x, y = ceilings.aligned_floats(8 * 1024).reshape(2, -1)
    x[:], y[:] = np.arange(x.size), -1
    part = x.size // threads // 128 * 128
    assert _loops.read(isa, x, 3, threads=threads) == 3 * 4 * part * threads
    assert _loops.copy(isa, x, y, 3, threads=threads) == 3 * 4 * part * threads
    copied = part * threads
    np.testing.assert_array_equal(y, np.concatenate([x[:copied], np.full(x.size - copied, -1)]))


def test_loops_refuse_what_they_cannot_walk() -> None:
    x = ceilings.aligned_floats(4096)
    with pytest.raises(ValueError, match="aligned to 64 bytes"):
        _loops.read("baseline", x[1:], 1)
    with pytest.raises(ValueError, match="at least 128 elements"):
        _loops.read("baseline", x, 1, threads=9)
    with pytest.raises(ValueError, match="same size"):
        _loops.copy("baseline", x[:512], x[512:768], 1)
    with pytest.raises(ValueError, match="no loops of ISA 'sse9'"):
        _loops.multiply_add("sse9", 1)
    with pytest.raises(ValueError, match="threads must be positive"):
        _loops.multiply_add("baseline", 1, threads=0)
    with pytest.raises(TypeError):
        _loops.read("baseline", x.astype(np.float64), 1)


def test_every_ceiling_has_a_row_and_a_cell() -> None:
    rows = ceilings.measure(ISAS, (1, 2), **ONCE)
    levels = ["registers", *(level for level in ceilings.working_sets(1) for _ in range(2))]
    assert [row["level"] for row in rows] == 2 * len(ISAS) * levels
    assert all(row["work"] > 0 < row["times"]["median"] for row in rows)
    head, _, *lines = ceilings.table(rows).splitlines()
    assert all(f"{isa}, {threads}" in head for isa in ISAS for threads in (1, 2))
    assert len(lines) == len(levels)


def test_more_threads_have_more_private_caches() -> None:
    one, many = ceilings.working_sets(1), ceilings.working_sets(64)
    assert list(one) == list(many) and one["memory"] == many["memory"]
    assert all(size <= many[level] and size % 1024 == 0 for level, size in one.items())


@pytest.mark.parametrize("direction", layers.DIRECTIONS)
def test_a_row_has_all_implementations_and_its_lines_in_the_summary(direction: str) -> None:
    row = layers.measure(LENET5[1], direction, threads=1, **ONCE)
    forms = ("", "module ") if direction == "forward" else ("",)
    ours = {f"cnnext {form}{layout}" for form in forms for layout in layers.LAYOUTS}
    assert set(row["kernels"]) == ours
    assert set(row["times"]) == ours | {name.replace("cnnext", "torch") for name in ours}
    assert all(kernel.startswith("conv2d_") for kernel in row["kernels"].values())
    assert min(timing["median"] for timing in row["times"].values()) > 0
    text = layers.summary([row])
    assert text.count(f"{direction}, batch 1, all layers ") == len(ours)
    assert text.count(f"{direction}, batch 1, 5x5 ") == len(ours)


def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = layers.calls_of

    def wrong(case: Conv2dCase, direction: str, layout: str, *dtype: torch.dtype) -> Any:
        calls = right(case, direction, layout, *dtype)
        return {**calls, "cnnext": lambda: (1.01 * calls["torch"]()[0],)}

    monkeypatch.setattr(layers, "calls_of", wrong)
    monkeypatch.setattr(layers, "compare_blocks", None)
    with pytest.raises(AssertionError, match="lenet5_conv2, bwd_weight, cnnext NCHW"):
        layers.measure(LENET5[1], "bwd_weight", threads=1)


def row_of(case: Conv2dCase, torch_seconds: tuple[float, float], seconds: float) -> dict[str, Any]:
    """A stored row whose peak is one operation of the case in a second."""
    times = dict(zip(layers.LAYOUTS, torch_seconds, strict=True))
    return {
        "case": case.name,
        "mode": "forward",
        "sizes": case.sizes(),
        "flops": case.flops,
        "peak": case.flops,
        "kernels": {"cnnext NCHW": "conv2d_direct_f32_avx2"},
        "times": {
            **{f"torch {layout}": {"median": value} for layout, value in times.items()},
            "cnnext NCHW": {"median": seconds},
        },
    }


def test_the_summary_has_means_and_the_worst_against_the_better_layout() -> None:
    small = next(case for case in RESNET50 if case.name == "resnet50_1x1_2048_512@7")
    large = next(case for case in RESNET50 if case.name == "resnet50_1x1_256_64@56")
    rows = [
        row_of(small, (8.0, 16.0), seconds=2.0),
        row_of(large, (3.0, 1.0), seconds=1.0),
        row_of(layers.PRODUCT, (1.0, 1.0), seconds=4.0),
    ]
    lines = [line.rsplit(maxsplit=7) for line in layers.summary(rows).splitlines()[2:]]
    found = {words[0].split("  ")[0]: words[1:] for words in lines}
    both = ["NCHW", "2", "2.00", "1.00", large.name, "0.707", "0.500"]
    assert found == {
        "forward, batch 1, all layers": both,
        "forward, batch 1, 1x1": both,
        "forward, batch 1, ResNet-50's 1x1": both,
        "forward, batch 1, ResNet-50's 1x1 to 7x7": [
            *("NCHW", "1", "4.00", "4.00", small.name, "0.500", "0.500")
        ],
        f"forward, batch 1, {layers.PRODUCT.name}": [
            *("NCHW", "1", "0.25", "0.25", layers.PRODUCT.name, "0.250", "0.250")
        ],
    }

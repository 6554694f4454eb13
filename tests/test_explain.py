"""cnnext.explain: the candidates of a convolution, and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import cnnext
from cnnext.testing import kernels

DIRECTIONS = ("forward", "bwd_input", "bwd_weight")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_chosen_kernel_is_predicted_fastest(direction: str) -> None:
    explanation = cnnext.explain(cnnext.Conv2d(8, 16, 3), torch.ones(2, 8, 20, 20), direction)
    assert explanation.direction == direction
    assert explanation.chosen == explanation.candidates[0].name
    seconds = [candidate.seconds for candidate in explanation.candidates]
    assert seconds == sorted(seconds)
    assert min(seconds) > 0


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_candidates_are_kernels_of_that_direction(direction: str) -> None:
    explanation = cnnext.explain(cnnext.Conv2d(8, 16, 3), torch.ones(2, 8, 20, 20), direction)
    registry = {kernel.name: kernel for kernel in kernels.registry("conv2d")}
    for candidate in explanation.candidates:
        assert registry[candidate.name].direction == direction
        assert all(tasks > 0 and rounds > 0 for tasks, rounds in candidate.tasks)


def test_the_table_names_all_candidates_and_marks_the_choice() -> None:
    explanation = cnnext.explain(cnnext.Conv2d(8, 16, 3), torch.ones(2, 8, 20, 20))
    lines = str(explanation).splitlines()
    assert len(lines) == 1 + len(explanation.candidates)
    assert [line.split()[1] for line in lines if "->" in line] == [explanation.chosen]


@pytest.mark.parametrize(
    "options",
    (
        {"padding": "same", "kernel_size": 4},
        {"padding": "valid", "kernel_size": 3, "dilation": 2},
        {"padding": (2, 1), "kernel_size": (5, 3), "padding_mode": "reflect"},
        {"padding": "same", "kernel_size": 2, "padding_mode": "circular"},
        {"kernel_size": 3, "stride": (2, 3), "groups": 2},
    ),
    ids=str,
)
def test_any_layer(options: dict[str, Any]) -> None:
    layer = cnnext.Conv2d(4, 6, **options)
    explanation = cnnext.explain(layer, torch.ones(4, 9, 11))
    with kernels.use_kernel("conv2d", explanation.chosen), torch.no_grad():
        layer(torch.randn(4, 9, 11))


def test_layouts_are_told_apart() -> None:
    layer, image = cnnext.Conv2d(64, 64, 1), torch.ones(1, 64, 7, 7)
    rows = cnnext.explain(layer, image.to(memory_format=torch.channels_last))
    columns = cnnext.explain(layer, image)
    assert rows.candidates[0].seconds != columns.candidates[0].seconds


def test_double_has_candidates_of_its_own() -> None:
    layer = cnnext.Conv2d(3, 4, 3, dtype=torch.float64)
    explanation = cnnext.explain(layer, torch.empty(1, 3, 8, 8, dtype=torch.float64))
    assert [candidate.name for candidate in explanation.candidates] == ["conv2d_reference_f64"]


def test_native_layers_are_explained_as_if_converted() -> None:
    image = torch.ones(1, 8, 20, 20)
    ours, native = cnnext.Conv2d(8, 16, 3), torch.nn.Conv2d(8, 16, 3)
    assert cnnext.explain(native, image) == cnnext.explain(ours, image)


def test_what_native_computes_has_no_candidates() -> None:
    image = torch.empty(1, 8, 20, 20, dtype=torch.bfloat16)
    explanation = cnnext.explain(cnnext.Conv2d(8, 16, 3, dtype=torch.bfloat16), image)
    assert explanation.chosen is None and explanation.candidates == ()
    assert "bfloat16" in explanation.fallback_reason and "bfloat16" in str(explanation)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nothing_to_compute(direction: str) -> None:
    explanation = cnnext.explain(cnnext.Conv2d(8, 16, 3), torch.empty(0, 8, 20, 20), direction)
    assert explanation.chosen is None
    assert "nothing to compute" in str(explanation)


@pytest.mark.parametrize("shape", ((1, 8, 2, 2), (1, 9, 20, 20), (8, 1, 20)), ids=str)
def test_an_input_that_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError):
        cnnext.explain(cnnext.Conv2d(8, 16, 3), torch.empty(shape))


def test_bad_arguments() -> None:
    image = torch.ones(1, 8, 20, 20)
    with pytest.raises(TypeError, match="Linear"):
        cnnext.explain(torch.nn.Linear(8, 8), image)
    with pytest.raises(ValueError, match="'backward'"):
        cnnext.explain(cnnext.Conv2d(8, 16, 3), image, "backward")


@pytest.mark.parametrize(
    ("channels", "size"), ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
)
def test_there_is_work_for_many_cores(channels: int, size: int) -> None:
    layer = cnnext.Conv2d(channels, channels, 3, padding=1)
    explanation = cnnext.explain(layer, torch.ones(1, channels, size, size))
    assert max(tasks for tasks, _ in explanation.candidates[0].tasks) >= 4 * explanation.threads

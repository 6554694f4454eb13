"""cnnext.explain: the candidates of a convolution, and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import cnnext
from cnnext.explain import predicted_candidates
from cnnext.testing import kernels
from cnnext.testing.conv2d_cases import ALEXNET, GOOGLENET, RESNET50, VGG16

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
    names = [line.removeprefix("->").split()[0] for line in lines[1:]]
    listed = [candidate.name for candidate in explanation.candidates]
    assert names[: len(listed)] == listed
    assert [line.split()[1] for line in lines if "->" in line] == [explanation.chosen]


@pytest.mark.parametrize("threads", (1, 2, 16, 64))
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_table_lists_the_phases_of_the_chosen_plan(direction: str, threads: int) -> None:
    layer, image = cnnext.Conv2d(256, 256, 3, padding=1), torch.ones(1, 256, 14, 14)
    explanation = cnnext.explain(layer, image, direction, threads=threads)
    assert explanation.threads == explanation.num_threads == threads
    plan = explanation.plan
    assert plan is not None
    for phase in plan.phases:
        busiest = -(-phase.tasks // threads)
        assert phase.balance == pytest.approx(phase.tasks / threads / busiest, rel=1e-5)
    if threads > 2:
        assert sum(phase.seconds for phase in plan.phases) == pytest.approx(plan.seconds, rel=1e-4)
    *_, heading = (line for line in str(explanation).splitlines() if line.startswith("phases"))
    assert f"{threads} of {threads} threads, balance {plan.balance:.2f}" in heading
    table = str(explanation).partition(heading)[2].splitlines()[1:]
    assert len(table) == len(plan.phases)
    for line, phase in zip(table, plan.phases, strict=True):
        assert line.strip().startswith(phase.name) and f"  {phase.tasks}" in line


def test_packing_is_a_phase_unless_its_result_is_kept() -> None:
    layer, image = cnnext.Conv2d(64, 64, 3, stride=2), torch.ones(1, 64, 56, 56)
    with kernels.use_kernel("conv2d", f"conv2d_direct_f32_{kernels.active_isa()}"):
        assert cnnext.explain(layer, image).plan.phases[0].name == "packing"
        with torch.no_grad():
            assert cnnext.explain(layer, image).plan.phases[0].name == "phase 0"


def test_a_small_layer_is_given_few_threads() -> None:
    layer, image = cnnext.Conv2d(16, 16, 3), torch.ones(1, 16, 16, 16)
    assert cnnext.explain(layer, image, threads=64).num_threads < 8
    large = cnnext.explain(cnnext.Conv2d(64, 64, 3), torch.ones(1, 64, 56, 56), threads=64)
    assert large.num_threads == 64


LAYERS = {case.name: case for case in (*ALEXNET, *VGG16, *GOOGLENET, *RESNET50)}


@pytest.mark.parametrize(("threads", "goal"), ((16, 0.9), (64, 0.75)))
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_plans_keep_many_threads_busy(direction: str, threads: int, goal: float) -> None:
    """Where no fewer threads than the goal demands are busy, more would have no less to do."""
    found = []
    for case in LAYERS.values():
        shape = (*case.input_shape, *case.weight_shape[:1], *case.weight_shape[2:])
        steps = (*case.stride, *case.padding, *case.dilation, case.groups)
        for channels_last in (False, True):
            predicted = predicted_candidates(
                direction, False, channels_last, (*shape, *steps), threads=threads
            )
            plan = next(c for c in predicted.candidates if c.name == predicted.chosen)
            found.append(plan.balance)
            assert plan.balance > 0.5, f"{case}, {channels_last=}: {plan}"
    assert sum(balance >= goal for balance in found) >= 0.75 * len(found)


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
    with pytest.raises(ValueError, match="threads must be positive, got 0"):
        cnnext.explain(cnnext.Conv2d(8, 16, 3), image, threads=0)


@pytest.mark.parametrize(
    ("channels", "size"), ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
)
def test_there_is_work_for_many_cores(channels: int, size: int) -> None:
    layer = cnnext.Conv2d(channels, channels, 3, padding=1)
    explanation = cnnext.explain(layer, torch.ones(1, channels, size, size))
    assert max(tasks for tasks, _ in explanation.candidates[0].tasks) >= 4 * explanation.threads

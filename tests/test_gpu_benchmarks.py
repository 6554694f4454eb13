"""benchmarks/gpu measures what is right, and stores it, as far as that shows without a GPU."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import models, operators, rows, tables, tasks, timing
from benchmarks.gpu.comparison import Comparison, Implementation, relative_error, tolerance, unit
from benchmarks.gpu.tasks import Task
from cnnext.testing.timing import Timing

SMALL = {
    op: dataclasses.replace(operators.spec_of(op).edge_cases[5], name="small")
    for op in operators.OPERATORS
}


def fake_timer(ready: timing.Ready) -> dict[Implementation, Timing]:
    """Calls everything; native takes 3 ms, 4 ms, ..., ours 1 ms."""
    found = {}
    for i, (implementation, calls) in enumerate(ready.items()):
        with implementation.context():
            for call in calls:
                call()
        median = 1e-3 if implementation.ours else (3 + i) * 1e-3
        found[implementation] = Timing(median, 0.5e-3, 9e-3, 7)
    return found


def uncompiled(model: torch.nn.Module, mode: str) -> torch.nn.Module:
    assert mode in models.COMPILE_MODES
    return model


def make(task: Task, device: str, l2_bytes: int) -> Comparison:
    """The comparison of a small case."""
    if task.subject in SMALL:
        return operators.comparison(task, device, l2_bytes, SMALL[task.subject])
    return models.comparison(task, device, uncompiled)


TASKS = [
    *(
        Task(op, "small", "float32", precision, direction)
        for op in operators.OPERATORS
        for precision in tasks.PRECISIONS
        for direction in ("forward", "training")
        if (op, direction) != ("conv2d_relu", "training")
    ),
    Task("lenet5", "batch 2", "float32", "ieee", "forward"),
    Task("lenet5", "batch 2", "float32", "default", "training"),
]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_comparisons(task: Task) -> None:
    found = rows.measure(task, "cpu", 0, fake_timer, make)
    assert tuple(row["implementation"] for row in found) == rows.implementations(task, "cpu")
    conv = "ieee" if task.precision == "ieee" else "tf32"
    for row in found:
        assert row["agrees"] == "yes", row
        assert 0 <= row["error"] <= row["limit"]
        assert row["flags"]["conv"] == conv
        assert (row["p20_ms"], row["p80_ms"], row["calls"]) == (0.5, 9.0, 7)
        if row["implementation"].startswith("cnnext"):
            assert (row["median_ms"], row["ratio"]) == (1.0, 3.0)
            assert row["best_native"] == found[0]["implementation"]
        else:
            assert "ratio" not in row
    assert tasks.flags() == {"conv": "tf32", "matmul": "ieee"}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_ours_cannot_compute_is_an_error_and_not_native(dtype: str) -> None:
    task = Task("conv2d", "small", dtype, "default", "forward")
    for row in rows.measure(task, "cpu", 0, fake_timer, make):  # on the CPU there are no kernels
        ours = row["implementation"].startswith("cnnext")
        assert row["agrees"] == ("error" if ours else "yes")
        assert ("median_ms" in row) != ours
        if ours:
            assert "there are no kernels" in row["reason"]


def spoiled(task: Task, spoil: Callable[[torch.Tensor], torch.Tensor], name: str) -> list[rows.Row]:
    """The rows of a task one of whose implementations computes something else."""

    def make_spoiled(*arguments: Any) -> Comparison:
        comparison = make(*arguments)

        def change(implementation: Implementation) -> Implementation:
            def calls() -> list[Any]:
                return [
                    lambda call=call: tuple(spoil(t.clone()) for t in call())
                    for call in implementation.make()
                ]

            return dataclasses.replace(implementation, make=calls)

        changed = [change(c) if c.name == name else c for c in comparison.implementations]
        return dataclasses.replace(comparison, implementations=tuple(changed))

    return rows.measure(task, "cpu", 0, fake_timer, make_spoiled)


def one_wrong(t: torch.Tensor) -> torch.Tensor:
    t.view(-1)[-1] += 0.2
    return t


SPOILS = {
    "one value": one_wrong,
    "a little of all": lambda t: t * 1.02,
    "NaN": lambda t: t.fill_(torch.nan),
    "another shape": lambda t: t[..., None],
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_wrong_results_are_caught(task: Task, spoil: str) -> None:
    name = rows.implementations(task, "cpu")[-1]
    assert name.startswith("cnnext")
    *others, wrong = spoiled(task, SPOILS[spoil], name)
    assert wrong["agrees"] in ("differs", "error")
    assert not {"median_ms", "ratio"} & wrong.keys()
    assert wrong["reason"]
    assert {row["agrees"] for row in others} == {"yes"}
    json.dumps(wrong, allow_nan=False)


def test_wrong_native_results_are_not_the_best() -> None:
    found = spoiled(TASKS[0], one_wrong, "torch NCHW")
    assert found[0]["agrees"] == "differs"
    assert found[-1]["best_native"] == "torch channels_last"
    assert found[-1]["ratio"] == 3.0  # it is the first that is timed now


def test_failure_in_timing_is_said() -> None:
    def timer(ready: timing.Ready) -> dict[Implementation, Timing]:
        raise torch.OutOfMemoryError("out of memory\nand more")

    for row in rows.measure(TASKS[0], "cpu", 0, timer, make):
        assert (row["agrees"], row["reason"]) == ("error", "OutOfMemoryError: out of memory")
    with pytest.raises(torch.AcceleratorError):
        rows.measure(TASKS[0], "cpu", 0, lambda ready: broken_gpu(TASKS[0]), make)


def test_copies_exceed_the_cache() -> None:
    comparison = make(TASKS[0], "cpu", 10_000)
    copies, size = comparison.copies, comparison.bytes
    assert copies * size > 20_000 >= (copies - 1) * size
    assert len(comparison.implementations[0].make()) == comparison.copies
    assert make(TASKS[0], "cpu", 10**9).copies == operators._MAX_COPIES


def test_tasks() -> None:
    everything = tasks.all_tasks()
    assert len(set(everything)) == len(everything)
    assert {task.subject for task in everything} == {*operators.OPERATORS, *tasks.MODELS}
    for task in everything:
        if task.subject in operators.OPERATORS:
            assert operators.find_case(task).name == task.case
    assert "cuDNN fused channels_last" in operators.names("conv2d_relu", "cuda")
    assert "CUDA graph" in models.names("forward", "cuda")
    assert "CUDA graph" not in models.names("training", "cuda")


def test_precision() -> None:
    with tasks.precision("ieee"):
        assert tasks.flags() == {"conv": "ieee", "matmul": "ieee"}
        assert torch.backends.cudnn.conv.fp32_precision != "tf32"  # what Inductor reads
        assert torch.backends.cudnn.fp32_precision != "tf32"
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    with pytest.raises(ValueError, match="default, ieee"), tasks.precision("fast"):
        pass


def test_tolerance() -> None:
    assert unit(torch.float32, tf32=True) == 2**-11
    assert unit(torch.bfloat16, tf32=True) == 2**-8
    assert tolerance(unit(torch.float32), 10_000) == pytest.approx(408 * 2**-24)
    one = torch.ones(2, dtype=torch.float64)
    assert relative_error([one.float()], [one]) == 0
    assert relative_error([one.float() * 2], [one]) == 1
    assert relative_error([torch.full((2,), torch.nan)], [one]) == torch.inf


# ------------------------------------------------------------------------------ timing, storing


def test_blocks_alternate() -> None:
    order: list[str] = []
    seconds = {"a": 1e-3, "b": 2e-3}
    now = 0.0

    def implementation(name: str) -> tuple[Implementation, list[Callable]]:
        def call() -> tuple:
            nonlocal now
            now += seconds[name]
            if order[-1:] != [name]:
                order.append(name)
            return ()

        return Implementation(name, lambda: []), [call, call]

    def clock(work: Callable[[], object]) -> float:
        begin = now
        work()
        return now - begin

    ready = dict(map(implementation, seconds))
    found = timing.time_blocks(ready, clock, blocks=4)
    assert order == ["a", "b", "a", "b", "a"]  # the order rotates: a b, b a, a b, b a
    assert [t.median for t in found.values()] == pytest.approx([1e-3, 2e-3])
    assert [t.n for t in found.values()] == [4 * 30, 4 * 15]


def test_summarize() -> None:
    assert timing.summarize([3.0], 1) == Timing(3.0, 3.0, 3.0, 1)
    assert timing.summarize([5.0, 1.0, 4.0, 2.0, 3.0, 6.0], 9) == Timing(3.5, 2.0, 5.0, 9)


DESCRIPTION = {"gpu": "G", "key": "k", "date": "2026-01-01"}
ROW = {
    **dict(zip(rows.TASK_FIELDS, TASKS[0].key, strict=True)),
    "flags": {"conv": "tf32", "matmul": "ieee"},
}


def broken_gpu(task: Task) -> list[rows.Row]:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def measured(task: Task) -> list[rows.Row]:
    return rows.measure(task, "cpu", 0, fake_timer, make)


def test_runs_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results/gpu.json"
    later = time.monotonic() + 600

    def run(measure: Callable, deadline: float = later, **changed: str) -> tuple[int, int]:
        store = rows.Store(path, DESCRIPTION | changed)
        return gpu.run(TASKS[:3], store, measure, deadline, "cpu"), len(store.rows)

    begun: list[Task] = []

    def cut_off(task: Task) -> list[rows.Row]:
        begun.append(task)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return measured(task)

    assert run(measured, deadline=0) == (3, 0)
    assert "3 of 3 tasks are left" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        run(cut_off)
    assert run(measured, deadline=0) == (3, 4)  # the first task's rows were kept
    assert run(measured, date="2026-02-02") == (0, 12)
    assert run(broken_gpu) == (0, 12)  # nothing is left to be measured
    assert json.loads(path.read_text())["machine"]["date"] == "2026-02-02"
    assert run(broken_gpu, key="other") == (1, 4)
    assert "the GPU failed at" in capsys.readouterr().out
    assert run(measured, key="other") == (1, 12)  # the failure is not forgotten
    assert run(measured, key="a third") == (0, 12)


@pytest.mark.parametrize("agrees", ["differs", "error", "yes"])
def test_what_is_not_right_fails_the_run(tmp_path: Path, agrees: str) -> None:
    store = rows.Store(tmp_path / "gpu.json", DESCRIPTION)
    names = rows.implementations(TASKS[0], "cpu")
    result = [ROW | {"implementation": name, "agrees": agrees} for name in names]  # and no time
    assert gpu.run(TASKS[:1], store, lambda task: result, time.monotonic() + 9, "cpu") == 1


def test_tables() -> None:
    found = measured(TASKS[0]) + spoiled(TASKS[2], one_wrong, "cnnext own NCHW")
    machine = dict.fromkeys(tables._MACHINE, "v") | {"gpu": "Some GPU"}
    text = tables.text({"machine": machine, "rows": found})
    assert text.startswith("Some GPU · capability v · driver v · torch v")
    assert "### conv2d, forward: ms (p20–p80), speed-up over the best native one" in text
    lines = [line for line in text.splitlines() if line.startswith("| small")]
    assert (
        "float32, default: conv tf32, matmul ieee | 3 (0.5–9) | 4 (0.5–9) | 1 (0.5–9)" in lines[0]
    )
    assert lines[0].endswith("| 3.00x | 3.00x |")
    assert "| differs |" in lines[1]
    assert lines[1].endswith("|  | 3.00x |")
    assert "- conv2d small float32 ieee forward, cnnext own NCHW: differs, relative error" in text

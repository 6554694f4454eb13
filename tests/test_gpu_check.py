"""tools/gpu_check.py runs, judges and remembers its stages as it says."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
stages = importlib.import_module("gpu_stages")
check = importlib.import_module("gpu_check")

MACHINE = stages.Machine("2.99.0+cu199", "19.9", "NVIDIA Some GPU", "90")
Done, Outcome = stages.Done, stages.Outcome


# ------------------------------------------------------------------------------------- stages


class Commands:
    """Stands in for running commands: chooses an answer by the text of the command line."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.seen: list[str] = []

    def __call__(self, argv: Sequence[str], env: Mapping[str, str], limit: float, log: Path) -> Any:
        line = " ".join(argv)
        self.seen.append(line)
        return next((done for word, done in self.answers.items() if word in line), Done(0, ""))


def checked(stage: Callable, tmp_path: Path, **answers: Any) -> Any:
    """The outcome of a stage whose commands answer like this."""
    log = tmp_path / "stage.log"
    return stage(
        stages.Check(MACHINE, log, time.monotonic() + 9, root=tmp_path, run=Commands(**answers))
    )


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "cuda_tool", lambda name: name)


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("....\n12 passed in 3.21s\n", {"passed": 12}),
        ("= 1 failed, 2 passed, 3 skipped, 4 deselected in 61.05s (0:01:01) =",
         {"failed": 1, "passed": 2, "skipped": 3, "deselected": 4}),
        ("no tests ran in 0.01s", {}),
        ("1 passed in 1.0s\nERROR SUMMARY: 0 errors", {"passed": 1}),
        ("ImportError: 3 passed", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_counts_of_pytest(output: str, counts: dict[str, int]) -> None:
    assert stages.counts_of(output) == counts


NO_CUDA = "SKIPPED [4] tests/cuda/test_operators.py:43: no CUDA kernels: this PyTorch has no CUDA\n"


@pytest.mark.parametrize(
    ("code", "output", "status"),
    [
        (0, "5 passed in 1.0s", "passed"),
        (
            0,
            "5 passed, 1 skipped in 1.0s\nSKIPPED [1] x.py:1: no NumPy\n5 passed in 1.0s",
            "passed",
        ),
        (1, "5 passed, 1 failed in 1.0s", "failed"),
        (0, f"{NO_CUDA}5 passed, 4 skipped in 1.0s", "failed"),
        (0, f"{NO_CUDA}4 skipped in 1.0s", "failed"),
        (0, "7 deselected in 1.0s", "failed"),
        (5, "no tests ran in 0.1s", "failed"),
        (0, "", "failed"),
        (stages.TIMED_OUT, "....", "failed"),
    ],
)
def test_judgement_of_tests(code: int, output: str, status: str) -> None:
    assert stages.judge_tests(Done(code, output)).status == status


@pytest.mark.slow
def test_pytest_without_a_gpu_is_judged_failed() -> None:
    """The real thing: where nothing can run, nothing passes."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    argv = [sys.executable, *stages.TESTS, "-k", stages.SMALL_SET]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    outcome = stages.judge_tests(Done(done.returncode, done.stdout))
    assert outcome.status == "failed"
    assert f"{stages.SMALL_SET_SIZE} skipped" in outcome.reason
    assert "tests/cuda/test_operators.py:" in done.stdout


def test_build(tmp_path: Path) -> None:
    assert checked(stages.build, tmp_path).status == "passed"
    assert checked(stages.build, tmp_path, pip=Done(1, "error")).status == "failed"
    outcome = checked(stages.build, tmp_path, library=Done(1, "built without them\n"))
    assert outcome == Outcome("failed", "no CUDA kernels: built without them")


def test_golden(tmp_path: Path, tools: None) -> None:
    path = tmp_path / stages.GOLDEN
    path.parent.mkdir(parents=True)
    found = functools.partial(checked, stages.golden, tmp_path)
    assert found(ctypes=Done(1, "")).status == "failed"
    assert found(ctypes=Done(0, "[]")).status == "failed"
    assert not path.exists()
    assert found(nvcc=Done(1, "")).status == "failed"
    assert found(ctypes=Done(0, "[1, 2]")).status == "recorded"
    assert json.loads(path.read_text()) == [1, 2]
    assert found(ctypes=Done(0, "[1, 2]")).status == "passed"
    wrong = found(ctypes=Done(0, "[1, 3]"))
    assert wrong == Outcome("failed", f"value 1 is 0x00000003 here, 0x00000002 in {stages.GOLDEN}")
    assert found(ctypes=Done(0, "[1]")).status == "failed"


def test_primitives_run_by_ctypes() -> None:
    library = ROOT / "build/cuda_on_cpu/libfaults.so"
    if not library.exists():
        pytest.skip("the engine is not built; `make test` builds it")
    argv = [sys.executable, "-c", stages.RUN_PRIMITIVES, str(library)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 1000


def test_sanitizer(tmp_path: Path, tools: None) -> None:
    found = functools.partial(checked, stages.sanitizer, tmp_path)
    good = Done(0, f"{stages.SMALL_SET_SIZE} passed in 60.0s\nERROR SUMMARY: 0 errors")
    assert found(sanitizer=good).status == "passed"
    assert found(racecheck=Done(9, good.output), sanitizer=good).status == "failed"
    fewer = Done(0, f"{stages.SMALL_SET_SIZE - 1} passed in 60.0s")
    assert found(memcheck=fewer, sanitizer=good).status == "failed"
    refused = Done(1, "========= Error: Device not supported. Please refer to the manual")
    outcome = found(initcheck=refused, sanitizer=good)
    assert outcome.status == "unavailable"
    assert "initcheck: unavailable, ========= Error: Device not supported" in outcome.reason


def test_missing_tools_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "cuda_tool", lambda name: None)
    assert checked(stages.sanitizer, tmp_path).status == "unavailable"
    assert checked(stages.golden, tmp_path).status == "unavailable"


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, "passed"), (3, "partial"), (1, "failed"), (2, "failed"), (stages.TIMED_OUT, "partial")],
)
def test_benchmarks_stage(tmp_path: Path, code: int, status: str) -> None:
    outcome = checked(stages.benchmarks, tmp_path, gpu=Done(code, "1 of 2: x\nthe end\n"))
    assert outcome.status == status
    assert "the end" in outcome.reason


def test_summary(tmp_path: Path) -> None:
    for stage, key in (
        ("build", check.stage_key(check.STAGES[0], tmp_path, MACHINE)),
        ("correctness", "of other sources"),
    ):
        result = {"stage": stage, "status": "passed", "seconds": 1.5, "reason": "so", "key": key}
        (tmp_path / f"{stage}.json").write_text(json.dumps(result))
    assert checked(check.summary, tmp_path).reason == "there are no measurements yet"
    stored = tmp_path / stages.results_path(MACHINE.gpu)
    stored.parent.mkdir(parents=True)
    stored.write_text("{}")
    assert checked(check.summary, tmp_path, tables=Done(0, "| rows |\n")).status == "recorded"
    text = (tmp_path / "summary.md").read_text()
    assert "| build | passed | 1.5 | so |" in text
    assert "| correctness | passed, before a change | 1.5 | so |" in text
    assert text.endswith("| rows |\n")
    assert checked(check.summary, tmp_path, tables=Done(1, "")).status == "failed"


def test_results_path() -> None:
    assert stages.results_path("NVIDIA H200") == "benchmarks/results/nvidia-h200.json"
    name = "NVIDIA GeForce RTX 4090 (mobile)"
    assert stages.results_path(name) == "benchmarks/results/nvidia-geforce-rtx-4090-mobile.json"


def test_command_is_killed_at_its_limit(tmp_path: Path) -> None:
    log = tmp_path / "log"
    begin = time.monotonic()
    code = "import time; print('begun', flush=True); time.sleep(60)"
    done = stages.run_command([sys.executable, "-c", code], os.environ, 1.5, log)
    assert time.monotonic() - begin < 30
    assert done == Done(stages.TIMED_OUT, "begun\n")
    assert stages.run_command(["/no/such/program"], os.environ, 9, log).code == 127
    assert stages.run_command([sys.executable, "-c", "1/0"], os.environ, 9, log).code == 1


# ------------------------------------------------------------------------------------- running


class Run:
    """Runs stages that answer with the given statuses, and counts how often each did."""

    def __init__(self, root: Path, **statuses: str) -> None:
        self.root = root
        self.statuses = statuses
        self.ran: list[str] = []

    def stage(self, name: str, **options: Any) -> Any:
        def run(checking: Any) -> Any:
            self.ran.append(name)
            if self.statuses[name] == "raises":
                raise RuntimeError("broken")
            checking.command("some", "command", VARIABLE="1")
            return Outcome(self.statuses[name], "because")

        run.__name__ = name
        return check.Stage(run, **options)

    def __call__(self, *arguments: str, machine: Any = MACHINE) -> list[str]:
        """The stages that ran; the exit code as the last."""
        self.ran = []
        chosen = [self.stage("one", stops=True), self.stage("two"), self.stage("three")]
        options = argparse.Namespace(again="--again" in arguments, minutes=1.0)
        commands = Commands(some=Done(0, "".join(f"line {i}\n" for i in range(99))))
        code = check.run_stages(chosen, machine, options, root=self.root, run=commands)
        return [*self.ran, str(code)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("csrc/a.cu", "cnnext/b.py", "tests/cuda/c.py", stages.GOLDEN, "setup.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    return tmp_path


def test_what_passed_is_not_run_again(root: Path) -> None:
    run = Run(root, one="passed", two="partial", three="recorded")
    assert run() == ["one", "two", "three", "0"]
    assert run() == ["two", "three", "0"]
    assert run("--again") == ["one", "two", "three", "0"]
    assert run(machine=MACHINE._replace(gpu="another")) == ["one", "two", "three", "0"]
    assert run(machine=MACHINE._replace(torch="another"))[0] == "one"
    assert run(machine=MACHINE._replace(torch="another"))[0] == "two"
    (root / "csrc/a.cu").write_text("2")
    assert run(machine=MACHINE._replace(torch="another"))[0] == "one"


def test_failures(root: Path) -> None:
    assert Run(root, one="failed", two="passed", three="passed")() == ["one", "1"]
    run = Run(root, one="passed", two="failed", three="unavailable")
    assert run() == ["one", "two", "three", "1"]
    assert run() == ["two", "three", "1"]
    run.statuses["two"] = "raises"
    assert run() == ["two", "three", "1"]
    assert check.read(root / "build/gpu-check", "two")["reason"] == "RuntimeError: broken"


def test_nothing_is_stored_of_a_stage_that_was_interrupted(root: Path) -> None:
    def interrupted(checking: Any) -> Any:
        raise KeyboardInterrupt

    Run(root, one="passed", two="passed", three="passed")()
    interrupted.__name__ = "one"
    options = argparse.Namespace(again=True, minutes=1.0)
    with pytest.raises(KeyboardInterrupt):
        check.run_stages([check.Stage(interrupted)], MACHINE, options, root=root)
    assert check.read(root / "build/gpu-check", "one") is None


def test_stored_result(root: Path) -> None:
    Run(root, one="passed", two="passed", three="passed")()
    stored = check.read(root / "build/gpu-check", "one")
    assert stored["commands"] == ["VARIABLE=1 some command"]
    assert stored["tail"][-1] == "line 98"
    assert len(stored["tail"]) == check.TAIL_LINES
    assert stored["gpu"] == MACHINE.gpu
    (root / "build/gpu-check/one.json").write_text("cut o")
    assert check.read(root / "build/gpu-check", "one") is None


def test_key(root: Path) -> None:
    def keys() -> tuple[str, str]:
        build, golden = check.STAGES[0], check.STAGES[2]
        return tuple(check.stage_key(stage, root, MACHINE) for stage in (build, golden))

    before = keys()
    (root / "csrc/b.so").write_text("built")
    (root / "README.md").write_text("text")
    assert keys() == before
    (root / stages.GOLDEN).write_text("2")  # which the golden stage writes
    assert (keys()[0] == before[0], keys()[1] == before[1]) == (True, False)
    (root / "cnnext/b.py").rename(root / "cnnext/c.py")
    assert keys()[0] != before[0]


def test_sources_exist() -> None:
    for stage in check.STAGES:
        for source in (*check.SOURCES, *stage.also):
            assert (ROOT / source).exists() or source == stages.GOLDEN, source


def test_why_not() -> None:
    assert check.why_not(MACHINE) is MACHINE
    assert "has no CUDA" in check.why_not(MACHINE._replace(cuda=None, gpu=None))
    assert "no GPU" in check.why_not(MACHINE._replace(gpu=None))


def test_without_a_gpu_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "probe", lambda: "There is no GPU.")
    monkeypatch.setattr(check, "run_stages", None)
    assert check.main([]) == 2
    assert capsys.readouterr().err == "There is no GPU.\n"
    assert check.main(["--list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["build", "correctness", "golden", "sanitizer", "benchmarks", "summary"]


def test_probe() -> None:
    found = check.probe()
    assert isinstance(found, stages.Machine if torch.cuda.is_available() else str)

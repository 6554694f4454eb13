"""The fuzzer itself: what it draws can be stored, what is wrong is caught and can be repeated."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.fuzz import __main__ as runner
from tests.fuzz.calls import Call, Operand
from tests.fuzz.checks import check, outcome
from tests.fuzz.strategies import calls
from tests.ops.calls import OPS
from tests.ops.support import CNNEXT, NATIVE

RELU = Call("relu", (Operand((2, 5), grad=True),), {}, order=1, seed=3)


@pytest.mark.parametrize("op", OPS)
def test_calls_survive_json(op: str) -> None:
    @settings(
        derandomize=True, deadline=None, max_examples=20, suppress_health_check=list(HealthCheck)
    )
    @given(call=calls(op))
    def stored(call: Call) -> None:
        assert Call.from_json(call.to_json()) == call

    stored()


def test_the_same_call_has_the_same_operands() -> None:
    (first,), (second,) = RELU.build(), RELU.build()
    assert torch.equal(first, second)


def _off_by_little(input: torch.Tensor) -> torch.Tensor:
    return torch.relu(input) * 1.0001


def _without_gradient(input: torch.Tensor) -> torch.Tensor:
    return torch.relu(input).detach()


def _another_error(input: torch.Tensor) -> torch.Tensor:
    raise ValueError("not native's")


@pytest.mark.parametrize("wrong", [_off_by_little, _without_gradient, _another_error])
def test_a_wrong_result_is_caught(wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    check(RELU)
    monkeypatch.setattr(CNNEXT, "relu", wrong)
    with pytest.raises(AssertionError):
        check(RELU)


BAD = Call("relu", (Operand((2, 5), dtype="complex64"),), {})


def test_a_missing_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    check(BAD)
    monkeypatch.setattr(CNNEXT, "relu", torch.abs)
    with pytest.raises(AssertionError, match=r"(?s)cnnext: Results.*native: \w+Error"):
        check(BAD)


def test_a_subclass_of_the_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As NotImplementedError is one of RuntimeError."""
    native = outcome(NATIVE, BAD)
    assert isinstance(native, Exception)
    subclass = type("Subclass", (type(native),), {})
    monkeypatch.setattr(CNNEXT, "relu", mock.Mock(side_effect=subclass))
    with pytest.raises(AssertionError, match="cnnext: Subclass"):
        check(BAD)


@pytest.mark.parametrize(
    "end, said",
    [("assert False", "exit code 1"), ("import os; os.abort()", "exit code -6")],
    ids=["failure", "crash"],
)
def test_a_failure_says_how_to_repeat_it(
    end: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    note = tmp_path / "call.json"
    code = f"import pathlib; pathlib.Path({str(note)!r}).write_text({RELU.to_json()!r}); {end}"
    assert runner.round_fails([sys.executable, "-c", code], note)
    output = capfd.readouterr().out
    assert said in output
    repeat = shlex.split(output.splitlines()[-1])
    assert repeat[:4] == [sys.executable, "-m", "tests.fuzz", "--call"]
    assert Call.from_json(repeat[4]) == RELU


def test_a_round_notes_its_calls(tmp_path: Path) -> None:
    note = tmp_path / "call.json"
    assert runner.main(["--ops", "relu", "--seed", "1", "--call", RELU.to_json()]) == 0
    assert not note.exists()
    runner.run_calls("relu", 1, 5, note)
    assert Call.from_json(note.read_text()).op == "relu"

"""The faults of tools/faults are those of this tree; seed_faults.py seeds and judges as it says."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
seed_faults = importlib.import_module("seed_faults")
Fault = seed_faults.Fault

EACH_FAULT = pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name) for fault in seed_faults.FAULTS]
)


def fault_in(file: str, old: str, new: str, **fields: Any) -> Any:
    return Fault(name="a-fault", kind="a kind", file=file, old=old, new=new, **fields)


# ------------------------------------------------------------------------------------ the list


@EACH_FAULT
def test_can_be_seeded(fault: Any) -> None:
    text = (ROOT / fault.file).read_text()
    assert fault.applied(text) != text


def test_one_of_a_kind() -> None:
    assert len(seed_faults.FAULTS) >= 30
    for field in ("name", "kind", "number"):
        values = Counter(getattr(fault, field) for fault in seed_faults.FAULTS)
        assert [value for value, count in values.items() if count > 1] == []


@EACH_FAULT
def test_something_could_see_it(fault: Any) -> None:
    paths = [word for word in (*fault.tests, *fault.check) if "/" in word]
    assert paths and bool(fault.tests) != bool(fault.check)
    assert [path for path in paths if not (ROOT / path).exists()] == []


# ------------------------------------------------------------------------------------- seeding


def test_both_forms_of_an_expression() -> None:
    fault = fault_in("a.h", "a + b", "a - b", within="c = a + b;")
    assert fault.switched("d = a + b; c = a + b;") == (
        f"d = a + b; c = (CNNEXT_FAULT({fault.number}) ? (a - b) : (a + b));"
    )


def test_both_forms_of_a_statement() -> None:
    fault = fault_in("a.cu", "f();", "")
    switch = f"if (CNNEXT_FAULT({fault.number})) {{  }} else {{ f(); }}"
    assert fault.switched("e();\nf();\n") == f"e();\n{switch}\n"


@pytest.mark.parametrize(
    "text, within", [("b", ""), ("a a", ""), ("a", "c a"), ("a, a;", "a, a;")], ids=str
)
def test_a_place_that_is_not_there_once(text: str, within: str) -> None:
    with pytest.raises(ValueError, match="a-fault: occurs"):
        fault_in("a.py", "a", "x", within=within).applied(text)


def test_the_copy_holds_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    switched = [fault for fault in seed_faults.FAULTS if fault.is_switched]
    names = {"README.md", seed_faults.ENGINE, *(fault.file for fault in switched)}
    monkeypatch.setattr(seed_faults, "tracked_files", lambda: sorted(names))
    files = seed_faults.copied_files()
    for fault in switched:
        assert f"CNNEXT_FAULT({fault.number})" in files[fault.file].decode()
    assert files["README.md"] == (ROOT / "README.md").read_bytes()


def test_text_is_replaced_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_faults, "TREE", tmp_path)
    path = tmp_path / "a.py"
    path.write_text("a = 1\n")
    with pytest.raises(KeyboardInterrupt), seed_faults.seeded(fault_in("a.py", "1", "2")):
        assert path.read_text() == "a = 2\n"
        raise KeyboardInterrupt
    assert path.read_text() == "a = 1\n"


# ------------------------------------------------------------------------------------- judging


PASSED = "tests/test_a.py::test_b[x y] PASSED\n=== 1 passed in 0.1s ===\n"
FAILED = "FAILED tests/test_a.py::test_b[x - y] - AssertionError: 1 - 2\n=== 1 failed in 0.1s ===\n"
ENDED = "tests/test_a.py::test_a PASSED [ 1%]\ntests/test_a.py::test_b[x y] Fatal Python error: ..."


@pytest.mark.parametrize(
    "returncode, output, expected",
    [
        pytest.param(0, PASSED, None, id="survived"),
        pytest.param(1, FAILED, "tests/test_a.py::test_b[x - y]", id="failed"),
        pytest.param(-11, ENDED, "tests/test_a.py::test_b[x y] (signal 11)", id="ended"),
    ],
)
def test_who_caught_it(returncode: int, output: str, expected: str | None) -> None:
    result = subprocess.CompletedProcess((), returncode, output)
    assert seed_faults.catcher(fault_in("a.py", "a", "b"), result) == expected


def test_a_check_caught_it() -> None:
    fault = fault_in("a.py", "a", "b", check=("python", "tools/check.py"))
    result = subprocess.CompletedProcess((), 1, "a.py: no\n")
    assert seed_faults.catcher(fault, result) == "python tools/check.py"


def test_tests_that_cannot_run_are_no_catch() -> None:
    result = subprocess.CompletedProcess((), 4, "ERROR: file or directory not found: tests/x.py\n")
    with pytest.raises(SystemExit, match="could not run"):
        seed_faults.catcher(fault_in("a.py", "a", "b"), result)

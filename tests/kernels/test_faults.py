"""The bindings notice kernels that misbehave: those of csrc/common/numpy/faults.cpp do."""

from __future__ import annotations

import numpy as np
import pytest
from bindings import THREADS, _kernels
from children import run_child

EDGES = ("front", "back")

#: Where each fault happens, and what the bindings say of it where no forbidden page is in the way.
OVERWRITES = {
    "write_before_output": ("front", "wrote outside of y"),
    "write_after_output": ("back", "wrote outside of y"),
    "write_before_shared": ("front", "wrote outside of its shared scratch"),
    "write_after_shared": ("back", "wrote outside of its shared scratch"),
    "write_before_chunk": ("front", "wrote outside of its private scratch"),
    "write_after_chunk": ("back", "wrote outside of its private scratch"),
    "write_before_packed": ("front", "wrote outside of its packed weights"),
    "write_after_packed": ("back", "wrote outside of its packed weights"),
}
OVERREADS = {"read_before_input": "front", "read_after_input": "back"}
RACES = ("race_for_output", "race_for_shared")
FORBIDDEN = ("write_to_input", "write_to_packed")
VISIBLE = ("nothing", "unwritten_element")

X = np.ones(1001, np.float32)


def test_every_fault_is_tested() -> None:
    tested = {*OVERWRITES, *OVERREADS, *RACES, *VISIBLE, *FORBIDDEN}
    assert set(_kernels.faults.names()) == tested


def dies(fault: str, edge: str) -> bool:
    child = run_child("run_fault.py", fault, edge, "1")
    if child.returncode == 0:
        assert float(child.stdout) == X.sum()
    else:  # not by an exception of Python's, but by a signal or by a sanitizer that caught it
        assert "Traceback" not in child.stderr, child.stderr
    return child.returncode != 0


def other(edge: str) -> str:
    return EDGES[1 - EDGES.index(edge)]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("threads", THREADS)
def test_a_good_kernel_passes(edge: str, threads: int) -> None:
    _kernels.set_edge(edge)
    try:
        assert np.array_equal(_kernels.faults.run("nothing", X, threads=threads), X)
    finally:
        _kernels.set_edge("back")


def test_an_element_that_nobody_wrote_is_nan() -> None:
    y = _kernels.faults.run("unwritten_element", X)
    assert np.isnan(y[-1]) and np.array_equal(y[:-1], X[:-1])


@pytest.mark.parametrize("fault", OVERWRITES)
def test_an_overwrite_is_reported(fault: str) -> None:
    """With scratch, also where a forbidden page is behind it: between them the alignment is."""
    edge, message = OVERWRITES[fault]
    _kernels.set_edge(other(edge))
    try:
        with pytest.raises(RuntimeError, match=f"kernel '{fault}' {message}"):
            _kernels.faults.run(fault, X)
    finally:
        _kernels.set_edge("back")


@pytest.mark.parametrize("fault", ["write_before_output", "write_after_output"])
def test_an_overwrite_of_a_forbidden_page_ends_the_process(fault: str) -> None:
    assert dies(fault, OVERWRITES[fault][0])


@pytest.mark.parametrize("fault", OVERREADS)
def test_a_read_outside_of_an_input_ends_the_process(fault: str) -> None:
    assert dies(fault, OVERREADS[fault])
    assert not dies(fault, other(OVERREADS[fault])), "so it was this read"


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("fault", FORBIDDEN)
def test_a_write_to_what_is_only_read_ends_the_process(fault: str, edge: str) -> None:
    assert dies(fault, edge)
    assert not dies("nothing", edge), "so it was this write"


@pytest.mark.skipif(_kernels.sanitizer != "thread", reason="only the thread sanitizer sees races")
@pytest.mark.parametrize("fault", RACES)
def test_a_race_is_reported(fault: str) -> None:
    child = run_child("run_fault.py", fault, "back", "2")
    assert child.returncode == 66 and "WARNING: ThreadSanitizer: data race" in child.stderr
    assert fault in child.stderr
    assert run_child("run_fault.py", fault, "back", "1").returncode == 0, "so it was this race"

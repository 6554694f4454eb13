"""Benchmarks with pytest-benchmark: a group is one case in one mode, all implementations in it.

``pytest benchmarks`` measures everything; with ``--benchmark-disable`` each benchmark runs once,
which still checks every result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from cnnext.testing import machine
from cnnext.testing.cases import BENCHMARK_CASES, Case
from cnnext.testing.comparisons import Comparison, comparison, implementations

_MODES = ("forward", "backward")

# Enough rounds for a stable median of every shape, and minutes for the whole folder.
_MAX_TIME_S = 0.2


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """Store what describes a measurement of cnnext, beside the plugin's own facts."""
    machine_info["cnnext"] = machine.describe()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a benchmark that takes ``call`` every case, mode and implementation of its OP."""
    if "call" not in metafunc.fixturenames:
        return
    op = metafunc.module.OP
    metafunc.parametrize("case", BENCHMARK_CASES[op], ids=str)
    metafunc.parametrize("mode", _MODES)
    metafunc.parametrize("implementation", implementations(op))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the implementations of a case and mode, to stand side by side in the tables."""
    for item in items:
        if isinstance(item, pytest.Function):
            params = item.callspec.params
            group = f"{params['case']} {params['mode']}"
            item.add_marker(
                pytest.mark.benchmark(
                    group=group, disable_gc=True, warmup=True, max_time=_MAX_TIME_S
                )
            )


@functools.lru_cache(maxsize=1)
def _checked(op: str, case: Case, mode: str) -> Comparison:
    """A comparison whose results are right; its implementations run in turn and share it."""
    checked = comparison(op, case, mode)
    checked.check()
    return checked


@pytest.fixture
def call(request: pytest.FixtureRequest, case: Case, mode: str, implementation: str) -> Callable:
    """One implementation's call, made after the results of all were checked."""
    op: Any = request.module.OP
    return _checked(op, case, mode).calls[implementation]

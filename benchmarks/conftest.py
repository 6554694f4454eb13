"""Benchmarks with pytest-benchmark: a group is one case in one mode, all implementations in it.

``pytest benchmarks`` measures everything; with ``--benchmark-disable`` each benchmark runs once,
which still checks every result.
"""

from __future__ import annotations

import pytest

from cnnext.testing import machine

# Enough rounds for a stable median of every shape, and minutes for the whole folder.
_MAX_TIME_S = 0.2


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """Store what describes a measurement of cnnext, beside the plugin's own facts."""
    machine_info["cnnext"] = machine.describe()


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

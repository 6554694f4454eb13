"""Operators on the shapes of known networks, native PyTorch against cnnext."""

from __future__ import annotations

import functools

import pytest

from cnnext.testing.cases import Case
from cnnext.testing.comparisons import Comparison, comparison, implementations
from cnnext.testing.specs import MEASURED


@functools.lru_cache(maxsize=1)
def _checked(op: str, case: Case, mode: str) -> Comparison:
    """A comparison whose results are right; its implementations run in turn and share it."""
    checked = comparison(op, case, mode)
    checked.check()
    return checked


@pytest.mark.parametrize(
    ("op", "case", "mode", "implementation"),
    [
        pytest.param(op, case, mode, name, id=f"{op}-{case}-{mode}-{name}")
        for op, spec in MEASURED.items()
        for case in spec.cases
        for mode in ("forward", "backward")
        for name in implementations(op)
    ],
)
def test_operator(benchmark, op, case, mode, implementation):
    benchmark(_checked(op, case, mode).calls[implementation])

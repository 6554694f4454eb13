"""Capture and passes know operators that no plan has yet: they are tested by the interpreter."""

from __future__ import annotations

import pytest

from cnnext.optimization import lowering
from tests.optimization.interpreter import OPERATORS

_OF_PLANS = (
    *("test_plan", "test_bands", "test_optimize", "test_torch_compile"),
    *("test_sequences", "test_counterparts"),
)


@pytest.fixture(autouse=True)
def operators_of_the_interpreter(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not request.module.__name__.endswith(_OF_PLANS):
        monkeypatch.setattr(lowering, "planned_operators", lambda: frozenset(OPERATORS))

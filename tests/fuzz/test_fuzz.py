"""A few calls of each operator, always the same; `make fuzz` makes as many as there is time for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.checks import check
from tests.fuzz.strategies import calls
from tests.ops.calls import OPS


@pytest.mark.parametrize("op", OPS)
@settings(
    derandomize=True,
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_does_what_native_does(op: str, data: st.DataObject) -> None:
    check(data.draw(calls(op)))

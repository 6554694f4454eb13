"""No kernel reads or writes one element too many: what it is given ends where memory does."""

from __future__ import annotations

import pytest
from bindings import OPERATORS, _kernels, registry
from children import run_child


@pytest.mark.skipif(bool(_kernels.sanitizer), reason="pages catch the same without a sanitizer")
# At the back edge the other tests run all kernels, too.
@pytest.mark.parametrize("edge", ["front", pytest.param("back", marks=pytest.mark.slow)])
@pytest.mark.parametrize("operator", OPERATORS)
def test_kernels_stay_inside(operator: str, edge: str) -> None:
    child = run_child("run_at_edge.py", operator, edge)
    calls = child.stdout.splitlines()
    assert child.returncode == 0, f"died of {calls[-1:]}: {child.stderr}"
    called = {call.split()[0] for call in calls}
    assert called == {kernel.name for kernel in registry(operator) if kernel.is_usable}

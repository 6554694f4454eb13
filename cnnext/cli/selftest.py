"""A quick test of every operator, for ``cnnext env``."""

from __future__ import annotations

from cnnext.testing.cases import EDGE_CASES
from cnnext.testing.contests import contest

OK = "ok"


def run() -> dict[str, str]:
    """By operator: ``"ok"``, or why its forward or backward pass fails on a small case."""
    return {op: _test(op) for op in EDGE_CASES}


def _test(op: str) -> str:
    for case in EDGE_CASES[op]:
        try:
            contest(op, case, "training").check()
        except Exception as error:  # whatever is wrong is what the user must see
            return f"{type(error).__name__} on {case}: {error}"
    return OK

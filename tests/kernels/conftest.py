from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _print_seed() -> None:
    """Pytest shows the seed with every failure."""
    from numerics import SEED

    print(f"CNNEXT_TEST_SEED={SEED}")

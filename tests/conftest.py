"""One seed for the whole run: printed, and taken from CNNEXT_TEST_SEED if that is set.

No torch here: the tests of the kernels alone run without it.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

_VARIABLE = "CNNEXT_TEST_SEED"
_DEFAULT_SEED = 20240229


# Inductor takes code from its cache that it made for operators as they were: so each state of ours
# has a cache of its own.
_PACKAGE = Path(__file__).parents[1] / "cnnext"
_STATE = hashlib.sha256()
for _path in sorted([*_PACKAGE.rglob("*.py"), *_PACKAGE.glob("*.so")]):
    _STATE.update(_path.read_bytes())
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(tempfile.gettempdir(), f"cnnext-tests-inductor-{_STATE.hexdigest()[:16]}")),
)


def run_seed() -> int:
    """The seed of this run."""
    return int(os.environ.get(_VARIABLE, _DEFAULT_SEED))


def pytest_report_header() -> str:
    return f"seed: {run_seed()} (set another with {_VARIABLE})"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of this test's own, the same in whatever order the tests run."""
    return run_seed() ^ zlib.crc32(request.node.nodeid.encode())


@pytest.fixture(autouse=True)
def _seeded(seed: int) -> None:
    """Seeds what is drawn without a generator; a failing test's report shows the seeds."""
    print(f"{_VARIABLE}={run_seed()}, this test's own seed is {seed}")
    random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)

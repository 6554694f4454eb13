"""Timing without the time: one call a block suffices for the contracts of the commands."""

import functools

import pytest

from cnnext.cli import bench, comparison
from cnnext.testing.timing import compare_blocks
from tests.testing.fakes import fake_gpu

__all__ = ["fake_gpu"]


@pytest.fixture
def fast_timing(monkeypatch):
    fast = functools.partial(compare_blocks, min_block_s=0, discard_s=0)
    monkeypatch.setattr(comparison, "compare_blocks", fast)
    monkeypatch.setattr(bench, "compare_blocks", fast)

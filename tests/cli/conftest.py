"""Commands without the time: one call a block, a few digits an epoch, suffice for contracts."""

import functools

import pytest
from torch.utils.data import TensorDataset

from cnnext.cli import bench, comparison, train
from cnnext.testing.timing import compare_blocks
from cnnext.training.digits import Split, split_digits
from tests.cli.training_runs import TEST_SIZE, TRAIN_SIZE
from tests.testing.fakes import fake_gpu

__all__ = ["fake_gpu"]


@pytest.fixture
def fast_timing(monkeypatch):
    fast = functools.partial(compare_blocks, min_block_s=0, discard_s=0)
    monkeypatch.setattr(comparison, "compare_blocks", fast)
    monkeypatch.setattr(bench, "compare_blocks", fast)


@pytest.fixture(scope="session")
def digits():
    return split_digits()


@pytest.fixture
def few_digits(digits, monkeypatch):
    """Makes an epoch three steps."""
    few = Split(
        TensorDataset(*digits.train[:TRAIN_SIZE]), TensorDataset(*digits.test[:TEST_SIZE]), 10
    )
    monkeypatch.setitem(train.DATA, "digits", lambda: few)
    return few


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "one"

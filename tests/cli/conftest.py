"""Commands without the time: one call a block, a few digits an epoch, suffice for contracts."""

import dataclasses
import functools

import pytest
from torch.utils.data import TensorDataset

from cnnext.cli import bench, comparison
from cnnext.testing.timing import compare_blocks
from cnnext.training import catalog
from cnnext.training.digits import digits as all_digits
from cnnext.training.fitting import Split
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
    return all_digits().load((1, 32, 32))


@pytest.fixture
def few_digits(monkeypatch):
    """Makes an epoch three steps."""

    def load(shape):
        split = all_digits().load(shape)
        return Split(
            TensorDataset(*split.train[:TRAIN_SIZE]), TensorDataset(*split.test[:TEST_SIZE])
        )

    source = dataclasses.replace(all_digits(), load=load)
    monkeypatch.setitem(
        catalog.TASKS,
        "digits",
        lambda model, *_: catalog.classify_images(model, source, catalog.DIGITS),
    )
    return load((1, 32, 32))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs" / "one"

"""Whole models on real images, native PyTorch against cnnext: inference and the training step."""

from __future__ import annotations

import functools

import pytest

from cnnext.cli import subjects
from cnnext.testing.errors import GRADIENT_TOLERANCE
from cnnext.testing.twins import CNNEXT, CONTESTANTS, Twins

pytest.importorskip("sklearn", reason="the images come from scikit-learn")


@functools.lru_cache(maxsize=1)
def _checked(model: str) -> Twins:
    """Twins that agree; all benchmarks of a model share them."""
    sample = subjects.sample(model, subjects.default_batch(model))
    twins = Twins(subjects.build(model), sample.images, sample.labels)
    assert twins.check_forward().ok
    assert twins.check_gradients()[CNNEXT] <= GRADIENT_TOLERANCE
    return twins


@pytest.mark.models
@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("mode", ["forward", "training"])
@pytest.mark.parametrize("case", subjects.DEFAULT)
def test_model(benchmark, case, mode, contestant):
    twins = _checked(case)
    calls = twins.forward_calls() if mode == "forward" else twins.training_calls()
    benchmark(calls[contestant])

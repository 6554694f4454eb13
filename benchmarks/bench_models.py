"""Whole models on real images, native PyTorch against cnnext: inference and the training step."""

from __future__ import annotations

import functools

import pytest

from cnnext.cli import subjects
from cnnext.testing.errors import GRADIENT_TOLERANCE
from cnnext.testing.model_pair import CNNEXT, IMPLEMENTATIONS, INFERENCE, ModelPair

pytest.importorskip("sklearn", reason="the images come from scikit-learn")


@functools.lru_cache(maxsize=1)
def _checked(model: str) -> ModelPair:
    """ModelPair that agree; all benchmarks of a model share them."""
    sample = subjects.sample(model, subjects.default_batch(model))
    pair = ModelPair(subjects.build(model), sample.images, sample.labels, optimized=True)
    assert pair.check_forward().ok
    assert pair.check_gradients()[CNNEXT] <= GRADIENT_TOLERANCE
    return pair


@pytest.mark.models
@pytest.mark.parametrize(
    ("mode", "implementation"),
    [*(("forward", each) for each in INFERENCE), *(("training", each) for each in IMPLEMENTATIONS)],
)
@pytest.mark.parametrize("case", subjects.DEFAULT)
def test_model(benchmark, case, mode, implementation):
    pair = _checked(case)
    calls = pair.forward_calls() if mode == "forward" else pair.training_calls()
    benchmark(calls[implementation])

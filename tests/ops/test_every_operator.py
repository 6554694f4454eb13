"""What is asked of every operator in the same words."""

from __future__ import annotations

import concurrent.futures

import pytest
import torch

import cnnext
from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums, use_threads
from tests.pytorch_integration.cases import Operator, each_operator, loss_of

# ------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", (2, 3, 8))
@each_operator
def test_any_number_of_threads(op: Operator, threads: int) -> None:
    results = []
    for library in (CNNEXT, NATIVE):
        leaves = op.leaves()
        with use_threads(threads):
            outputs = op.call(library, *leaves)
            results.append((outputs, torch.autograd.grad(loss_of(outputs), leaves)))
    assert_same_sums(*results)


def test_calls_from_many_threads_do_not_mix() -> None:
    layer = cnnext.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    images = [torch.randn(1, 16, 8 + 2 * (i % 3), 9) for i in range(12)]
    expected = [layer(image) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, value in zip(pool.map(layer, images), expected, strict=True):
                assert_bitwise_equal(result, value)

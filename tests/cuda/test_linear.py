"""linear on CUDA, which is ATen's: the operators that others are built on."""

from __future__ import annotations

import pytest
import torch

from cnnext.testing.cases import LinearCase
from cnnext.testing.specs.linear import EDGE_LINEARS
from tests.cuda.devices import DTYPES, Device
from tests.cuda.numerics import integers_like
from tests.ops import problems

#: Without features there is nothing to multiply, and ATen is asked before the operators.
CASES = tuple(case for case in EDGE_LINEARS if min(case.k, case.n) > 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_integers(case: LinearCase, dtype: torch.dtype, device: Device) -> None:
    x, w, b = problems.linear(case).to(dtype).mapped(integers_like).operands
    dy = integers_like(torch.empty(*x.shape[:-1], w.shape[0], dtype=dtype))
    rows, gradients = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    library = device.operators()
    for ours, expected in (
        (library.linear_forward(*map(device.tensor, (x, w, b))), x.double() @ w.double().T + b),
        (library.linear_backward_input(*map(device.tensor, (dy, w))), dy.double() @ w.double()),
        (
            library.linear_backward_weight(*map(device.tensor, (dy, x))),
            gradients.double().T @ rows.double(),
        ),
    ):
        assert torch.equal(ours.cpu(), expected.to(dtype))

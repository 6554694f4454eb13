"""Element-wise operators where native PyTorch is faster: it computes without a warning."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cnnext.ops.common import elementwise
from cnnext.testing.errors import assert_bitwise_equal
from cnnext.testing.spec import NATIVE
from tests.ops.support import CNNEXT

_ASKED = ("_computes_faster_natively", "_trains_faster_natively")
_AS_DEFINED = {name: getattr(elementwise, name) for name in _ASKED}

#: The bytes from which on an operator trains with our Function.
SIZES = {"relu": 256 << 10, "leaky_relu": 256 << 10, "sigmoid": 2 << 20, "tanh": 20 << 10}
each_size = pytest.mark.parametrize(
    ("op", "options", "bytes"),
    [
        *(pytest.param(op, {}, size, id=op) for op, size in SIZES.items()),
        *(
            pytest.param(op, {"inplace": True}, SIZES[op], id=f"{op}-in_place")
            for op in ("relu", "leaky_relu")
        ),
    ],
)


@pytest.fixture(autouse=True)
def _as_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in _AS_DEFINED.items():
        monkeypatch.setattr(elementwise, name, function)


def trains_with_function(op: str, leaf: torch.Tensor, **options: Any) -> bool:
    """Whether our Function computes the gradient, which is as native's."""
    output = getattr(CNNEXT, op)(leaf * 1, **options)
    output.sum().backward()
    copy = leaf.detach().clone().requires_grad_()
    getattr(NATIVE, op)(copy).sum().backward()
    torch.testing.assert_close(leaf.grad, copy.grad)
    return "Function" in output.grad_fn.name()


@each_size
def test_small_tensors_train_natively(op: str, options: dict[str, Any], bytes: int) -> None:
    for numel, by_function in ((bytes // 4 - 1, False), (bytes // 4, True)):
        leaf = torch.linspace(-1, 1, numel, requires_grad=True)
        assert trains_with_function(op, leaf, **options) == by_function


@pytest.mark.parametrize("op", ("sigmoid", "tanh"))
def test_float64_is_native(op: str) -> None:
    """In graphs, too."""
    values = torch.linspace(-9, 9, 1 << 18, dtype=torch.float64)
    function = getattr(CNNEXT, op)
    assert_bitwise_equal(function(values), getattr(NATIVE, op)(values))
    graph = torch.export.export(_Call(function), (values,)).graph
    assert [node.target for node in graph.nodes if node.op == "call_function"] == [
        getattr(torch.ops.aten, op).default
    ]
    assert not trains_with_function(op, values.requires_grad_())


class _Call(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, input: torch.Tensor) -> Any:
        return self.function(input)

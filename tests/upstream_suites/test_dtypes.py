"""Every dtype and layout of torch: native's result or exception, said once, an error if strict."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext import NativeFallbackWarning
from cnnext.runtime import fallback
from tests.ops.calls import OPS, call, operands_of
from tests.ops.support import NATIVE
from tests.upstream_suites.outcomes import assert_same_outcome, outcome_of

_KERNEL_DTYPES = (torch.float32, torch.float64)


def _can_be_made(dtype: torch.dtype) -> bool:
    return not isinstance(outcome_of(lambda: torch.zeros(1).to(dtype)), Exception)


_OTHER_DTYPES = sorted(
    {
        value
        for value in vars(torch).values()
        if isinstance(value, torch.dtype) and value not in _KERNEL_DTYPES and _can_be_made(value)
    },
    key=str,
)

#: Ways to hold the same numbers that no kernel knows.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "coo": Tensor.to_sparse,
    "csr": lambda t: (t + 10).to_sparse_csr(),  # as many non-zeros in every matrix
    "mkldnn": Tensor.to_mkldnn,
    "nested": lambda t: torch.nested.nested_tensor(list(t)),
    "meta": lambda t: t.to("meta"),
}
#: What the user hears of them.
WHY = {
    "coo": "torch.sparse_coo",
    "csr": "torch.sparse_csr",
    "mkldnn": "torch._mkldnn",
    "nested": "nested tensors",
    "meta": "device type 'meta'",
}


def _check(op: str, make: Callable[[], tuple[Tensor, ...]], why: str) -> None:
    native = outcome_of(lambda: call(NATIVE, op, *make()))
    fallback._noticed.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert_same_outcome(outcome_of(lambda: call(cnnext.functional, op, *make())), native)
    said = [str(w.message) for w in caught if w.category is NativeFallbackWarning]
    assert len(said) == (0 if isinstance(native, Exception) else 1)
    assert all(f"cnnext.{op} uses native PyTorch: " in notice and why in notice for notice in said)
    operands = make()
    with (
        cnnext.flags(strict=True),
        pytest.raises(RuntimeError, match=f"cnnext.{op}: .*{why}.*STRICT"),
    ):
        call(cnnext.functional, op, *operands)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", _OTHER_DTYPES, ids=str)
def test_dtypes(op: str, dtype: torch.dtype) -> None:
    operands = operands_of(op, dtype)
    _check(op, lambda: operands, f"there are no kernels for {dtype}")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_all_operands(op: str, layout: str) -> None:
    held = [(outcome_of(partial(LAYOUTS[layout], t)), t) for t in operands_of(op)]
    operands = tuple(t if isinstance(h, Exception) else h for h, t in held)
    _check(op, lambda: operands, WHY[layout])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "meta"])
def test_layouts_of_the_input(op: str, layout: str) -> None:
    first, *rest = operands_of(op)
    _check(op, lambda: (LAYOUTS[layout](first), *rest), WHY[layout])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", _KERNEL_DTYPES, ids=str)
def test_kernels_say_nothing(op: str, dtype: torch.dtype) -> None:
    operands = operands_of(op, dtype)
    with cnnext.flags(strict=True):
        assert_same_outcome(call(cnnext.functional, op, *operands), call(NATIVE, op, *operands))

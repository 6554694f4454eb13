"""What a call comes to, result or exception, and whether two calls come to the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tests.ops.support import assert_same_sums


def outcome_of(call: Callable[[], Any]) -> Any:
    """The result, or the exception instead of it."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what we compare)
        return error


def assert_same_outcome(ours: Any, native: Any) -> None:
    """The same exception type, or equal tensors in the same layout that need the same gradients."""
    if isinstance(ours, Exception) or isinstance(native, Exception):
        assert type(ours) is type(native), f"ours: {ours!r}\nnative: {native!r}"
        return
    for mine, other in zip(tree_leaves(ours), tree_leaves(native), strict=True):
        assert type(mine) is type(other)
        if isinstance(mine, Tensor):
            assert_same_tensor(mine, other)
        else:
            assert mine == other


def assert_same_tensor(ours: Tensor, native: Tensor) -> None:
    assert ours.requires_grad == native.requires_grad
    assert ours.is_leaf == native.is_leaf
    assert ours.is_inference() == native.is_inference()
    assert ours.layout == native.layout
    assert ours.is_nested == native.is_nested
    if ours.is_meta and native.is_meta:
        assert (ours.shape, ours.dtype) == (native.shape, native.dtype)
        return
    for mine, other in zip(_plain(ours), _plain(native), strict=True):
        assert_same_sums(mine, other, terms=1.0)  # the operands of PyTorch's samples


def _plain(tensor: Tensor) -> tuple[Tensor, ...]:
    """The values as ordinary tensors, which is what can be compared."""
    tensor = tensor.detach()
    if tensor.is_nested:
        return tuple(tensor.unbind())
    if tensor.is_quantized:
        return (tensor.dequantize(),)
    if tensor.layout is not torch.strided:
        return (tensor.to_dense(),)
    return (tensor.as_subclass(Tensor),)

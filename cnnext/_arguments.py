"""Arguments as torch.nn.functional takes them, and the errors it raises for the others."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

IntOrPair = int | tuple[int, ...] | list[int]


def as_int(op: str, name: str, value: Any) -> int:
    """`value` as an int: Python and NumPy integers and 0-d integer tensors, no bools or floats."""
    if type(value) is int:
        return value
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{op}(): {name} must be an int or a tuple of ints, "
            f"but got {type(value).__name__}: {name}={value!r}"
        ) from None


def int_pair(op: str, name: str, value: Any) -> tuple[int, int]:
    """(vertical, horizontal) from an int or a sequence of one or two."""
    if type(value) is int:
        return value, value
    if isinstance(value, tuple | list):
        if len(value) == 2:
            return as_int(op, name, value[0]), as_int(op, name, value[1])
        if len(value) == 1:
            single = as_int(op, name, value[0])
            return single, single
        raise RuntimeError(
            f"{op}(): {name} must be an int or hold one or two, but got {name}={value!r}"
        )
    single = as_int(op, name, value)
    return single, single


def check_positive(op: str, name: str, pair: tuple[int, int]) -> None:
    if pair[0] <= 0 or pair[1] <= 0:
        raise RuntimeError(f"{op}(): {name} must be positive, but got {name}={pair}")


def check_same_dtype(op: str, input: Tensor, **others: Tensor | None) -> None:
    """No operator promotes: all operands have the dtype of the input."""
    for name, other in others.items():
        if other is not None and other.dtype != input.dtype:
            raise RuntimeError(
                f"{op}(): input and {name} must have the same dtype, "
                f"but got input.dtype={input.dtype} and {name}.dtype={other.dtype}"
            )


def shape_of(tensor: Tensor) -> list[int]:
    return list(tensor.shape)

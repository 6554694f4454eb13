"""Arguments as torch.nn.functional takes them, and the errors it raises for the others.

Messages hold native PyTorch's words, which people search for and tests match, and then name the
argument and its value, which native's often do not.
"""

from __future__ import annotations

import operator
from typing import Any, NoReturn

import torch
from torch import Tensor

IntOrPair = int | tuple[int, ...] | list[int]
_INT64 = range(-(2**63), 2**63)


def as_int(op: str, name: str, value: Any) -> int:
    """`value` as an int: Python and NumPy integers and 0-d integer tensors, no bools or floats."""
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{op}(): {name} must be an int or a tuple of ints, "
            f"but got {type(value).__name__}: {name}={value!r}"
        ) from None
    if number not in _INT64:
        raise ValueError(_too_large(op, name, value))
    return number


def _too_large(op: str, name: str, value: Any) -> str:
    return f"{op}(): {name} must fit 64 bits, but got {name}={value!r}"


def int_pairs(op: str, **values: Any) -> list[tuple[int, int]]:
    """Each value as (vertical, horizontal), from an int or a sequence of one or two.

    As in torch, the types of all are checked before the length of any.
    """
    if not torch.compiler.is_compiling():  # whose integers are not told apart by their type
        plain = [plain_pair(value) for value in values.values()]
        if None not in plain:
            return plain  # type: ignore[return-value]
    return _per_axis(op, 2, values)  # type: ignore[return-value]


def single_ints(op: str, **values: Any) -> list[int]:
    """Each value as a number, from an int or a sequence of one; in the order of `int_pairs`."""
    return [number for (number,) in _per_axis(op, 1, values)]


def int_triples(op: str, **values: Any) -> list[tuple[int, int, int]]:
    """Each value as (depth, vertical, horizontal), from an int or a sequence of one or three."""
    return _per_axis(op, 3, values)  # type: ignore[return-value]


def _per_axis(op: str, axes: int, values: dict[str, Any]) -> list[tuple[int, ...]]:
    unpacked = {name: _unpack(op, name, value) for name, value in values.items()}
    return [
        numbers * axes
        if len(numbers) == 1
        else numbers
        if len(numbers) == axes
        else _reject_length(op, axes, name, numbers)
        for name, numbers in unpacked.items()
    ]


def plain_pair(value: Any) -> tuple[int, int] | None:
    """The pair of what nearly everybody gives, an int or a tuple of two, or None for all else.

    What has one is immutable: it stays the same pair.
    """
    kind = type(value)
    if kind is int:
        return (value, value) if value in _INT64 else None
    if kind is not tuple or len(value) != 2:
        return None
    first, last = value
    if type(first) is int and type(last) is int and first in _INT64 and last in _INT64:
        return first, last
    return None


def _unpack(op: str, name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple | list):
        try:
            return tuple([as_int(op, name, element) for element in value])
        except ValueError:  # native has another exception for it within a sequence
            raise TypeError(_too_large(op, name, value)) from None
    return (as_int(op, name, value),)


def _reject_length(op: str, wanted: int, name: str, numbers: tuple[int, ...]) -> NoReturn:
    raise RuntimeError(
        f"{op}(): expected {name} to be a single integer value or a list of {wanted} values "
        f"to match the convolution dimensions, but got {name}={numbers}"
    )


def check_matmul_dtypes(op: str, input: Tensor, **others: Tensor | None) -> None:
    """No operator promotes: all factors and summands have the dtype of the input."""
    for name, other in others.items():
        if other is not None and other.dtype != input.dtype:
            raise RuntimeError(
                f"{op}(): mat1 and mat2 must have the same dtype, "
                f"but got input.dtype={input.dtype} and {name}.dtype={other.dtype}"
            )


def is_allocated(input: Tensor) -> bool:
    """Whether its memory is there. Where it was freed or shrunk, ATen's kernels read on."""
    last = input.storage_offset() - 1 + input.numel()
    if not input.is_contiguous():
        steps = zip(input.shape, input.stride(), strict=True)
        last = input.storage_offset() + sum((size - 1) * stride for size, stride in steps)
    return last < input.untyped_storage().nbytes() // input.itemsize


def shape_of(tensor: Tensor) -> list[int]:
    return list(tensor.shape)

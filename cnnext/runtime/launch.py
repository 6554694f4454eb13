"""The path of a call: from the function of an operator to a kernel, or to native PyTorch.

An operator declares what is its own (`cnnext.runtime.operator`): how its arguments are checked, and
what computes in a graph, with gradients, and otherwise. The order of these checks is the same for
all operators, and is defined here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor

from cnnext.runtime.fallback import call_native, fallback_reason, gradient_needed
from cnnext.runtime.operator import Operator

# Bound once, as in `cnnext.runtime.fallback`.
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled


def launch(
    operator: Operator,
    operands: tuple[Any, ...],
    *arguments: Any,
    direct: Callable[..., Any] | None = None,
    given: tuple[Any, ...] | None = None,
) -> Any:
    """What `operator.function` returns for these operands and its further arguments.

    `direct` takes the place of the operator's own. `given` are the operands as the function takes
    them, where that is not one by one.
    """
    reason = fallback_reason(operator, operands)
    if reason is not None:
        return call_native(operator, reason, *(given or operands), *arguments)
    checked: Any = operands
    if operator.check is not None:
        checked = operator.check(*operands, *arguments)
        if checked is None:
            return _delegate_to_native(operator, given or operands, arguments)
        if isinstance(checked, str):
            return call_native(operator, checked, *(given or operands), *arguments)
    compute = way_of(operator, operands, direct)
    if operator.explain is None:
        result = compute(*checked)
    else:
        try:
            result = compute(*checked)
        except RuntimeError:
            operator.explain(*checked)
            raise
    if operator.from_images is not None:
        return operator.from_images(result, operands[0].dim())
    if operator.unbatched is None or operands[0].dim() != 3:
        return result
    return operator.unbatched(result)


def way_of(
    operator: Operator, operands: tuple[Any, ...], direct: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """What computes the operator on operands that our kernels take."""
    compute: Any
    if _is_compiling():
        compute = operator.compiled
    elif _is_grad_enabled() and gradient_needed(*operands):  # inference is spared the call
        compute = operator.recorded
    else:
        compute = direct or operator.direct
    return compute


def _delegate_to_native(
    operator: Operator, operands: tuple[Any, ...], arguments: tuple[Any, ...]
) -> Any:
    """Native's result, where there is nothing to compute, or its error with what it was given."""
    native: Any = operator.native
    if _is_compiling():
        return native(*operands, *arguments)
    try:
        return native(*operands, *arguments)
    except Exception as error:
        _reject(operator, error, operands, arguments)


def _reject(
    operator: Operator, error: Exception, operands: tuple[Any, ...], arguments: tuple[Any, ...]
) -> NoReturn:
    function: Any = operator.function
    names = list(inspect.signature(function).parameters)
    tensors = list(_named_tensors(names, operands))
    given = [f"{name}.shape={list(tensor.shape)}" for name, tensor in tensors]
    if len({tensor.dtype for _, tensor in tensors}) > 1:
        given += [f"{name}.dtype={tensor.dtype}" for name, tensor in tensors]
    others = zip(names[len(operands) :], arguments, strict=False)
    given += [f"{name}={value!r}" for name, value in others]
    caller = f"{operator.name}(): "
    text = str(error).removeprefix(caller)
    raise type(error)(f"{caller}{text}; got {', '.join(given)}") from None


def _named_tensors(names: list[str], operands: tuple[Any, ...]) -> Iterator[tuple[str, Tensor]]:
    for name, operand in zip(names, operands, strict=False):
        if isinstance(operand, tuple | list):
            yield from ((f"{name}[{index}]", tensor) for index, tensor in enumerate(operand))
        elif operand is not None:
            yield name, operand

"""What an operator is: one declaration at the end of its file in `cnnext.ops`, and the list of all.

Whatever goes through all operators goes through this list, or is held equal to it by
`tests/test_operators.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import Module


class CudaRule(NamedTuple):
    """Who computes on CUDA tensors where `cuda_backend` is "auto", and why."""

    backend: str  # "own" or "native"
    reason: str
    has_kernels: bool = True  # of ours; without, native is all there is


#: What `Operator.check` returns.
Checked = tuple[Any, ...] | str | None


@dataclass(frozen=True, eq=False)
class Operator:
    """One thing of PyTorch's that cnnext has kernels for.

    Attributes:
        name: the function's name, or else the module's; warnings and flags use it.
        function: as in `cnnext.functional`.
        native: the function's counterpart in PyTorch.
        module: the direct subclass of its namesake in `torch.nn`.
        own_module: one that has no namesake there, so that nothing is converted to it.
        autograd: as in `cnnext.autograd`.
        raw: all its operators in `torch.ops.cnnext` that take tensors.
        kernels: the name that its kernels begin with; None for what runs another operator's.
        cuda: the rule for CUDA tensors; None for what only calls other operators.
        optional: how many of its last operands may be None.
        check: takes the operands and arguments of `function`. Returns the arguments of the three
            below; or a reason why only native computes the call; or None where native rejects it,
            or finds nothing to compute. Without it, they take the operands.
        compiled: computes in the graph of a compiler.
        recorded: computes what autograd differentiates.
        direct: computes all else.
        explain: takes what `check` returned, where the kernels reject that, and raises what native
            says of it. Checks that they make as well cost a call that is right nothing then.
        unbatched: takes the result for an image out of that for a batch of one.
        from_images: takes what is computed by way of images and the number of the input's
            dimensions, and returns the result, where the input is of sequences or volumes.
    """

    name: str
    function: Callable[..., Any] | None = None
    native: Callable[..., Any] | None = None
    module: type[Module] | None = None
    own_module: type[Module] | None = None
    autograd: type[torch.autograd.Function] | None = None
    raw: tuple[str, ...] = ()
    kernels: str | None = None
    cuda: CudaRule | None = None
    optional: int = 0
    check: Callable[..., Checked] | None = None
    compiled: Callable[..., Any] | None = None
    recorded: Callable[..., Any] | None = None
    direct: Callable[..., Any] | None = None
    explain: Callable[..., None] | None = None
    unbatched: Callable[[Any], Any] | None = None
    from_images: Callable[[Any, int], Any] | None = None


#: By name.
OPERATORS: dict[str, Operator] = {}


def declare(operator: Operator) -> Operator:
    """Enters an operator into the list; one of the same name, of an earlier import, leaves it."""
    OPERATORS[operator.name] = operator
    return operator

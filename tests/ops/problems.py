"""The cases of the specs as problems: `problems.conv2d(case)`, and so for every operator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from cnnext.testing.cases import Case
from cnnext.testing.specs import SPECS
from tests.ops.support import Problem, generator_for


def of(
    op: str,
    case: Case,
    kind: str = "normal",
    dtype: torch.dtype = torch.float32,
    bias: bool = True,
) -> Problem:
    """A case's operands by input class and dtype, and the call. Indices are not among its outputs.

    Without `bias`, the operands behind the weights are None.
    """
    spec = SPECS[op]
    operands: tuple[Any, ...] = spec.operands(case, generator_for(case, kind), kind, dtype)
    if not bias:
        count = max(spec.weights) + 1
        operands = (*operands[:count], *[None] * (len(operands) - count))
    return Problem(spec.function(case), operands)


@functools.cache
def __getattr__(op: str) -> Callable[..., Problem]:
    if op not in SPECS:
        raise AttributeError(op)
    return functools.partial(of, op)


@functools.cache
def cached(builder: Any, case: Any, kind: str, layout: str, dtype: torch.dtype) -> Problem:
    """`builder(case, kind, dtype)` in a layout, one object however often it is asked for."""
    return builder(case, kind, dtype).in_layout(layout)

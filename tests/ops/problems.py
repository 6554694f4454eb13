"""The cases of the specs as problems: `problems.conv2d(case)`, and so for every operator."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cnnext.testing.cases import Case
from cnnext.testing.specs import SPECS
from tests.ops.support import Problem, generator_for


def of(
    op: str,
    case: Case,
    kind: str = "normal",
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """A case's operands by input class and dtype, and the call, whose outputs hold no indices."""
    spec = SPECS[op]
    return Problem(spec.function(case), spec.operands(case, generator_for(case, kind), kind, dtype))


#: What may get lost or made up by an operator that only selects, or multiplies once.
_SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, -1.0)


def with_special_values(problem: Problem) -> Problem:
    """Their places vary, so that each meets every lane of a vector."""
    values = itertools.cycle(_SPECIAL)

    def sprinkled(t: Tensor) -> Tensor:
        flat = t.clone().flatten()
        for place in range(0, flat.numel(), 3):
            flat[place] = next(values)
        return flat.view(t.shape)

    return problem.mapped(sprinkled)


@functools.cache
def __getattr__(op: str) -> Callable[..., Problem]:
    if op not in SPECS:
        raise AttributeError(op)
    return functools.partial(of, op)


@functools.cache
def cached(builder: Any, case: Any, kind: str, layout: str, dtype: torch.dtype) -> Problem:
    """`builder(case, kind, dtype)` in a layout, the same object at every call."""
    return builder(case, kind, dtype).in_layout(layout)

"""One small call of each operator, for the tests that treat all alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cnnext.testing.specs import SPECS

OPS = tuple(name for name, spec in SPECS.items() if spec.operator.function is not None)


def operands_of(op: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Small integers: exact in every dtype, also where sums are rounded."""
    return tuple(torch.randint(-3, 4, shape).to(dtype) for shape in SPECS[op].shapes)


def call(library: Any, op: str, *operands: Any) -> Any:
    return SPECS[op].call(library, *operands)

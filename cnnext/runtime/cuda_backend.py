"""Who computes an operator on CUDA tensors: our kernels, or ATen and cuDNN.

The rules stand in the operators' declarations. None of them is measured yet: they say what the
bytes and the instructions say.
"""

from __future__ import annotations

from cnnext.runtime.flags import current
from cnnext.runtime.operator import OPERATORS


def has_kernels(op: str) -> bool:
    """Whether there are CUDA kernels for `op`; without, native is all there is."""
    rule = OPERATORS[op].cuda
    return rule is not None and rule.has_kernels


def chosen(op: str) -> str:
    """The backend that computes `op` on CUDA tensors now: "own" or "native"."""
    rule = OPERATORS[op].cuda
    if rule is None or not rule.has_kernels:
        return "native"
    asked = current().cuda_backend
    return rule.backend if asked == "auto" else asked

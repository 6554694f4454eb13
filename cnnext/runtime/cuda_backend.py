"""Who computes an operator on CUDA tensors: our kernels, or ATen and cuDNN.

The operators' declarations state the rules. None of them has been measured yet: they follow from
counts of bytes and instructions.
"""

from __future__ import annotations

from cnnext.runtime.flags import current
from cnnext.runtime.operator import OPERATORS, CudaRule


def has_kernels(op: str) -> bool:
    """Whether there are CUDA kernels for `op`; without, native is all there is."""
    return _rule(op) is not None


def chosen(op: str) -> str:
    """The backend that computes `op` on CUDA tensors now: "own" or "native"."""
    rule = _rule(op)
    if rule is None:
        return "native"
    asked = current().cuda_backend
    return rule.backend if asked == "auto" else asked


def _rule(op: str) -> CudaRule | None:
    """That of an operator with CUDA kernels."""
    rule = OPERATORS[op].cuda
    return rule if rule is not None and rule.has_kernels else None

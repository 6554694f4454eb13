"""`cnnext.flags`: what users may change about the way operators are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

CUDA_BACKENDS = ("auto", "own", "native")


@dataclass(frozen=True)
class Flags:
    """The values in force; None leaves a question to the environment."""

    cuda_backend: str = "auto"
    strict: bool | None = None


_current = Flags()


def current() -> Flags:
    return _current


@contextmanager
def flags(*, cuda_backend: str | None = None, strict: bool | None = None) -> Iterator[None]:
    """Sets flags for the whole process while the context lasts; what is None stays as it is.

    Args:
        cuda_backend: who computes on CUDA tensors: "own" (cnnext's kernels, where there are any),
            "native" (ATen and cuDNN), or "auto" (the better one by the rule that
            `python -m cnnext env` prints).
        strict: whether a call that only native PyTorch can compute is an error; without this flag
            the environment's CNNEXT_STRICT decides.

    Raises:
        ValueError: `cuda_backend` has another value.
        TypeError: `strict` is no bool.
    """
    global _current
    if cuda_backend is not None and cuda_backend not in CUDA_BACKENDS:
        raise ValueError(
            f"cuda_backend must be one of {', '.join(CUDA_BACKENDS)}, got {cuda_backend!r}"
        )
    if strict is not None and not isinstance(strict, bool):
        raise TypeError(f"strict must be a bool, got {strict!r}")
    before = _current
    _current = replace(
        before,
        cuda_backend=before.cuda_backend if cuda_backend is None else cuda_backend,
        strict=before.strict if strict is None else strict,
    )
    try:
        yield
    finally:
        _current = before


def is_strict() -> bool:
    if _current.strict is not None:
        return _current.strict
    return os.environ.get("CNNEXT_STRICT", "").lower() not in ("", "0", "false", "no", "off")

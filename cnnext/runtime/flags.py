"""`cnnext.flags`: what users may change about the way operators are computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from cnnext.runtime.library import ops

CUDA_BACKENDS = ("auto", "own", "native")
CONV_ALGORITHMS = ("auto", "exact", "winograd2", "winograd4")
_ALIASES = {"direct": "exact"}


@dataclass(frozen=True)
class Flags:
    """The values in force; None leaves a question to the environment."""

    cuda_backend: str = "auto"
    strict: bool | None = None
    conv_algorithm: str = "auto"
    keep_filters: bool = True


_current = Flags()


def current() -> Flags:
    return _current


@contextmanager
def flags(
    *,
    cuda_backend: str | None = None,
    strict: bool | None = None,
    conv_algorithm: str | None = None,
    keep_filters: bool | None = None,
) -> Iterator[None]:
    """Sets flags for the whole process while the context lasts; None leaves a flag unchanged.

    Args:
        cuda_backend: who computes on CUDA tensors: "own" (cnnext's kernels, where there are any),
            "native" (ATen and cuDNN), or "auto" (the better one by the rule that
            `python -m cnnext env` prints).
        strict: whether a call that only native PyTorch can compute is an error; without this flag
            the environment's CNNEXT_STRICT decides.
        conv_algorithm: how conv2d computes float32 on the CPU, in all directions: "winograd4" and
            "winograd2" (Winograd's minimal filtering with tiles of 4x4 and 2x2 outputs, where the
            convolution and its values allow it: 3x3 and 5x5, stride 1), "exact" or "direct"
            (nothing but sums of products as in the definition), or "auto" (the kernel that is
            predicted to be fastest).
        keep_filters: whether convolution modules keep their filters packed between calls without
            gradients, on the CPU (by default they do); False also frees the kept filters.

    Raises:
        ValueError: `cuda_backend` or `conv_algorithm` has another value.
        TypeError: `strict` or `keep_filters` is not a bool.
    """
    _check("cuda_backend", cuda_backend, CUDA_BACKENDS)
    if isinstance(conv_algorithm, str):
        conv_algorithm = _ALIASES.get(conv_algorithm, conv_algorithm)
    _check("conv_algorithm", conv_algorithm, CONV_ALGORITHMS)
    for name, switch in (("strict", strict), ("keep_filters", keep_filters)):
        if switch is not None and not isinstance(switch, bool):
            raise TypeError(f"{name} must be a bool, got {switch!r}")
    given: dict[str, Any] = {
        "cuda_backend": cuda_backend,
        "strict": strict,
        "conv_algorithm": conv_algorithm,
        "keep_filters": keep_filters,
    }
    before = _current
    _set(replace(before, **{name: value for name, value in given.items() if value is not None}))
    try:
        yield
    finally:
        _set(before)


def _check(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _set(values: Flags) -> None:
    global _current
    if values.conv_algorithm != _current.conv_algorithm:
        chosen = "" if values.conv_algorithm == "auto" else values.conv_algorithm
        ops.prefer_algorithm("conv2d", chosen)
    if not values.keep_filters:
        ops.conv2d_forget_all_plans()
    _current = values


def is_strict() -> bool:
    if _current.strict is not None:
        return _current.strict
    return os.environ.get("CNNEXT_STRICT", "").lower() not in ("", "0", "false", "no", "off")

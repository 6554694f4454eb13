"""What the operator tests check of bad calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.ops.support import CNNEXT, NATIVE


def check_error(op: str, call: dict[str, Any], *mentioned: str) -> None:
    """cnnext raises what native raises, and mentions these (argument names and values)."""
    with pytest.raises(Exception) as native:  # noqa: PT011
        getattr(NATIVE, op)(**call)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        getattr(CNNEXT, op)(**call)
    assert ours.type is native.type, ours.value
    for text in mentioned:
        assert text in str(ours.value)


def check_operator_error(name: str, arguments: tuple[Any, ...], *mentioned: str) -> None:
    """The bare operator, called past the checks of the function, raises and does not crash."""
    with pytest.raises(RuntimeError) as error:
        getattr(torch.ops.cnnext, name)(*arguments)
    for text in mentioned:
        assert text in str(error.value)

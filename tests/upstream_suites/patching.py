"""cnnext in the place of native PyTorch: under torch.nn's own names, as if it were torch.nn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

import cnnext


@contextmanager
def patched() -> Iterator[None]:
    """Within, `torch.nn.Conv2d`, `torch.nn.functional.conv2d` and so on are cnnext's."""
    with ExitStack() as changes:
        for module in cnnext.nn.MODULES:
            changes.enter_context(mock.patch.object(torch.nn, module.__name__, module))
        for op in cnnext.functional.__all__:
            home = torch.nn.functional if hasattr(torch.nn.functional, op) else torch
            if hasattr(home, op):  # torchvision's are not there
                changes.enter_context(mock.patch.object(home, op, getattr(cnnext.functional, op)))
        yield

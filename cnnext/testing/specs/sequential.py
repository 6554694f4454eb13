"""Sequential, which runs what its layers run."""

from __future__ import annotations

from typing import Any

from torch import nn

from cnnext.ops.sequential import SEQUENTIAL
from cnnext.testing.spec import Arguments, Drawn, OperatorSpec


def _build(layers: Any) -> nn.Module:
    return layers.Sequential(layers.Conv2d(4, 6, 3), layers.ReLU(), layers.MaxPool2d(2))


SPEC = OperatorSpec(
    SEQUENTIAL,
    modules={"Sequential": Arguments({"input": Drawn(2, 4, 6, 6)}, build=_build)},
)

"""What the specs of pools share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cnnext.testing.spec import Drawn

INPUT = {"input": Drawn(2, 4, 6, 6)}
GRADIENT = {"grad_output": Drawn(2, 4, 3, 3)}
SIZE_IN = {"h_in": 6, "w_in": 6}
SIZE_OUT = {"h_out": 3, "w_out": 3}
#: A window that makes SIZE_OUT of INPUT.
OPTIONS = {"kernel_size": 3, "stride": 2, "padding": 1}
WINDOW: dict[str, Any] = {
    **{"k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1}
}


def far_apart(t: Tensor) -> Tensor:
    """So that no difference quotient changes which is the largest."""
    return t.flatten().argsort().argsort().view_as(t).to(t.dtype)

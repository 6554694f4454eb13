"""depth_windows, which calls of conv3d consist of."""

from __future__ import annotations

from cnnext.ops.depth_windows import DEPTH_WINDOWS
from cnnext.testing.spec import Arguments, Drawn, OperatorSpec

_WINDOW = {"taps": 3, "stride": 2, "padding": 1, "dilation": 1}

SPEC = OperatorSpec(
    DEPTH_WINDOWS,
    raw={
        "depth_windows_forward": Arguments({"input": Drawn(2, 3, 5, 4, 6), **_WINDOW}),
        "depth_windows_backward": Arguments(
            {"grad_output": Drawn(6, 9, 4, 6), "d_in": 5, **_WINDOW}
        ),
    },
)

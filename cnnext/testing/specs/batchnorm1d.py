"""BatchNorm1d, which runs batch_norm."""

from __future__ import annotations

from cnnext.ops.batch_norm import BATCH_NORM_1D
from cnnext.testing.spec import Arguments, Drawn, OperatorSpec

SPEC = OperatorSpec(
    BATCH_NORM_1D,
    modules={
        "BatchNorm1d": Arguments(
            {
                "input": Drawn(5, 3),
                "num_features": 3,
                "eps": 1e-5,
                "momentum": 0.1,
                "affine": True,
                "track_running_stats": True,
            }
        )
    },
)

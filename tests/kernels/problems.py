"""The problems of all operators."""

from __future__ import annotations

from collections.abc import Sequence

import conv2d
import elementwise
import finish
import linear
import pools
import recurrence
import reorder
import resample
import scale
from problem import Problem

PROBLEMS: dict[str, Sequence[Problem]] = {
    "conv2d": conv2d.PROBLEMS,
    "finish": finish.PROBLEMS,
    "linear": linear.PROBLEMS,
    "recurrence": recurrence.PROBLEMS,
    "reorder": reorder.PROBLEMS,
    "resample": resample.PROBLEMS,
    "scale": scale.PROBLEMS,
    **pools.PROBLEMS,
    **elementwise.PROBLEMS,
}

"""The problems of all operators."""

from __future__ import annotations

from collections.abc import Sequence

import batch_norm
import conv2d
import depth_windows
import dropout
import elementwise
import finish
import linear
import pad
import pools
import recurrence
import reorder
import resample
import roi_pool
import scale
import shuffle
import softmax
import unpool
from problem import Problem

PROBLEMS: dict[str, Sequence[Problem]] = {
    "batch_norm": batch_norm.PROBLEMS,
    "conv2d": conv2d.PROBLEMS,
    "depth_windows": depth_windows.PROBLEMS,
    "dropout": dropout.PROBLEMS,
    "finish": finish.PROBLEMS,
    "linear": linear.PROBLEMS,
    "max_unpool2d": unpool.PROBLEMS,
    "pad": pad.PROBLEMS,
    "recurrence": recurrence.PROBLEMS,
    "reorder": reorder.PROBLEMS,
    "resample": resample.PROBLEMS,
    "scale": scale.PROBLEMS,
    "shuffle": shuffle.PROBLEMS,
    "softmax": softmax.PROBLEMS,
    **pools.PROBLEMS,
    **roi_pool.PROBLEMS,
    **elementwise.PROBLEMS,
}

"""The warning where many sums of a convolution could not be taken the fast way.

Sums that users rely on being exact (those of windows that see only zeros, of integers, of values
small beside their neighbours) do not pass through Winograd's transforms: csrc/conv2d/exact_sums.h
says how they are found. That takes longer, so the first call that needs many of them warns.
"""

from __future__ import annotations

import ctypes
import warnings

from cnnext.runtime.fallback import stack_level_of_caller
from cnnext.runtime.library import ops


class ExactSumsWarning(UserWarning):
    """Many tiles of a convolution needed exact sums, which are slower; `cnnext.explain` counts."""


# Read in place: to ask an operator after every call would take as long as a small call.
_many = ctypes.c_int32.from_address(ops.conv2d_many_plain_tiles_address())
_said = False


def warn_once() -> None:
    """Says that a call since the last time had more than a tenth of its tiles summed exactly."""
    global _said
    if _many.value and not _said:
        _said = True
        warnings.warn(
            "more than 10 % of the tiles of a conv2d hold windows that are empty or small beside "
            "their neighbours: to keep their sums exact, it runs without the fastest form. "
            "cnnext.explain(layer, input) counts them",
            ExactSumsWarning,
            stacklevel=stack_level_of_caller(),
        )

"""Where version 0.1 had what `cnnext.conversion` has: goes with version 0.3.

`cnnext.convert` itself is the function; `cnnext/__init__.py` imports this module before it says so.
"""

import warnings
from typing import Any

from cnnext.conversion import swap


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    value = getattr(swap, name)
    warnings.warn(
        f"cnnext.convert.{name} is cnnext.{name}; the module cnnext.convert goes with version 0.3",
        DeprecationWarning,
        stacklevel=2,
    )
    return value

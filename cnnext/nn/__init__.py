"""`torch.nn`, with cnnext's modules in the place of those it has kernels for.

`import cnnext.nn as nn` works wherever `import torch.nn as nn` does, and so do its submodules
(`import cnnext.nn.functional as F`) and `from cnnext.nn import *`. What is an instance of
`torch.nn.Linear` is one of `cnnext.nn.Linear`.
"""

from typing import TYPE_CHECKING

import torch.nn

from cnnext.modules import *  # noqa: F403
from cnnext.modules import Sequential as Sequential
from cnnext.nn import functional as functional
from cnnext.ops.without_kernels import WITHOUT_KERNELS as _WITHOUT_KERNELS
from cnnext.runtime.mirror import Mirror as _Mirror
from cnnext.runtime.mirror import fill as _fill
from cnnext.runtime.operator import OPERATORS as _OPERATORS

# What `cnnext.convert` swaps: each is a direct subclass of its namesake in torch.nn.
SWAPPED: tuple[type[torch.nn.Module], ...] = tuple(
    dict.fromkeys(op.module for op in _OPERATORS.values() if op.module is not None)
)

# Those with kernels of their own.
MODULES: tuple[type[torch.nn.Module], ...] = tuple(cls for cls in SWAPPED if cls is not Sequential)

# Those that are ours by name, and computed by native PyTorch.
NATIVE: tuple[type[torch.nn.Module], ...] = tuple(_WITHOUT_KERNELS)

if TYPE_CHECKING:  # where the first definition of a name counts
    from torch.nn import *  # type: ignore[assignment,no-redef]  # noqa: F403
else:
    _mirror = _Mirror({cls.__bases__[0]: cls for cls in (*SWAPPED, *NATIVE)})
    _mirror.install()
    _fill(globals(), torch.nn, _mirror.of)

"""Plans that convolution modules keep between calls without gradients.

To choose a kernel, plan it and pack the filter for it takes up to a third of a small convolution's
time. A module's call without gradients leaves all that behind for the next of the same shape, which
uses a packed filter only if the weight lies where it lay, with the version that it had, and a
checksum of all its bytes is what it was. The plans belong to the process (at most 256 MiB of packed
filters, those of modules unused for longest go first), not to the module: nothing of them is
copied, pickled or in a state_dict. A packed filter holds on to the memory of its weight until the
module packs another, is called with gradients or in another dtype, or is gone.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from cnnext.runtime.flags import current
from cnnext.runtime.library import direct, ops, shared_by_imports

_numbers = shared_by_imports("plan_owners", itertools.count(1))


class Owner:
    """A module that plans are kept for, until it is gone.

    Attributes:
        number: its plans are kept under this.
        geometry: the module's, as `cnnext.ops.common.calls_at_once` last read it.
    """

    __slots__ = ("geometry", "number")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.geometry: Any = None


_owners: dict[int, Owner] = {}  # by id: not every module can be hashed
_dispatch_modes = torch._C._len_torch_dispatch_stack


def owner_of(module: Module) -> Owner:
    """What is known of this module, and of no copy of it."""
    owner = _owners.get(id(module))
    if owner is None:
        owner = _owners.setdefault(id(module), Owner())
        weakref.finalize(module, _forget, id(module), owner.number).atexit = False
    return owner


def _forget(module_id: int, number: int) -> None:
    _owners.pop(module_id, None)
    direct.conv2d_forget_plans(number)


def applies(input: Tensor, weight: Tensor) -> bool:
    """Whether a module's call on these operands may use a kept plan, and keep its own."""
    return (
        not torch.is_grad_enabled()
        and current().keep_filters
        and type(input) is Tensor
        and type(weight) in (Tensor, Parameter)
        and input.dtype is torch.float32
        and input.is_cpu
        and not _dispatch_modes()
    )


def release(module: Module) -> None:
    """Gives back what the module keeps: its calls now are of a kind that has no use for it."""
    owner = _owners.get(id(module))
    if owner is not None:
        direct.conv2d_forget_plans(owner.number)


def version_of(weight: Tensor) -> int:
    """How often PyTorch saw the weight changed; -1 for tensors without that count."""
    return -1 if weight.is_inference() else weight._version


def kept_bytes(module: Module) -> int:
    """What this module's filters take, packed."""
    owner = _owners.get(id(module))
    return 0 if owner is None else ops.conv2d_packed_bytes(owner.number)

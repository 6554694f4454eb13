"""Calls of convolution modules that go to a kept plan at once, without `launch`.

A small convolution takes less time than the questions that `launch` asks about its arguments. Where
a module is called without gradients, most have an answer already: what its attributes mean stays
known as long as they are the same objects, and whether the operands fit, the kernels check
themselves. What they refuse goes to `launch`, which finds out whether it is an error, and of what
words, or for native PyTorch to compute.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import Conv2d, Parameter

from cnnext.ops.common.arguments import plain_pair
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.fallback import mode_reason
from cnnext.runtime.library import direct
from cnnext.runtime.planned_calls import Owner, applies, owner_of, version_of

Geometry = tuple[int, int, int, int, int, int, int]  # stride, padding, dilation: pairs; groups

_BIAS_TYPES = (Tensor, Parameter, type(None))


class _ModuleGeometry(NamedTuple):
    """Attributes of a module, the very objects, and what they mean.

    `plain` is None where that takes more than to read them. Where it is not, none of the objects
    can change.
    """

    stride: Any
    padding: Any
    dilation: Any
    groups: Any
    padding_mode: Any
    plain: Geometry | None

    @classmethod
    def of(cls, module: Conv2d) -> _ModuleGeometry:
        numbers = (module.stride, module.padding, module.dilation, module.groups)
        mode = module.padding_mode
        plain: Any = [plain_pair(value) for value in numbers]
        if mode != "zeros" or type(numbers[3]) is not int or None in plain:
            return cls(*numbers, mode, None)
        stride, padding, dilation, (groups, _) = plain
        return cls(*numbers, mode, (*stride, *padding, *dilation, groups))

    def is_of(self, module: Conv2d) -> bool:
        return (
            module.stride is self.stride
            and module.padding is self.padding
            and module.dilation is self.dilation
            and module.groups is self.groups
            and module.padding_mode is self.padding_mode
        )


def call_at_once(
    module: Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor | None:
    """The result of a plain call without gradients; None where `launch` has to look closer.

    Looked at is only what the kernels cannot see.
    """
    if (
        not applies(input, weight)
        or type(bias) not in _BIAS_TYPES
        or input.dim() != 4
        or mode_reason(input) is not None
    ):
        return None
    owner = owner_of(module)
    geometry = owner.geometry
    if geometry is None or not geometry.is_of(module):
        owner.geometry = geometry = _ModuleGeometry.of(module)
    if geometry.plain is None:
        return None
    try:
        return call_planned(owner, input, weight, bias, geometry.plain)
    except RuntimeError:
        return None


def call_planned(
    owner: Owner, input: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[int, ...]
) -> Tensor:
    """What `conv2d_forward` computes, by a plan that is kept for the owner."""
    version = version_of(weight)
    output = direct.conv2d_planned(input, weight, bias, geometry, owner.number, version)
    warn_once()
    return output

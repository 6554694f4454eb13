"""What convolutions share: the layouts of results and gradients, and ATen's gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

Pair = tuple[int, int]
Needed = tuple[bool, bool, bool]  # gradients of input, weight and bias
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]  # of them


def result_format(activation: Tensor, weight: Tensor) -> torch.memory_format:
    """channels_last if either operand is, as in ATen."""
    formats = (suggest_memory_format(activation), suggest_memory_format(weight))
    return torch.channels_last if torch.channels_last in formats else torch.contiguous_format


def layout_of(output: Tensor) -> torch.memory_format | None:
    """The layout that gradients have as well; None where both are the same."""
    nchw = output.is_contiguous()
    if nchw == output.is_contiguous(memory_format=torch.channels_last):
        return None
    return torch.contiguous_format if nchw else torch.channels_last


def in_layout(tensor: Tensor, layout: torch.memory_format | None) -> Tensor:
    """The tensor, or a copy, in this layout, if there is one."""
    if layout is None or tensor.is_contiguous(memory_format=layout):
        return tensor
    return tensor.contiguous(memory_format=layout)


def differentiable_gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    out_channels: int,
    geometry: Sequence[int],
    needed: Needed,
    output_padding: Pair | None = None,
) -> Gradients:
    """The gradients in operators of ATen, which have gradients themselves.

    The geometry is of any number of axes: strides, paddings, dilations, and the number of groups.
    Those of a transposed convolution, if there is an output_padding.
    """
    *steps, groups = geometry
    axes = len(steps) // 3
    gradients: Gradients = torch.ops.aten.convolution_backward.default(
        grad_output,
        input,
        weight,
        [out_channels],
        steps[:axes],
        steps[axes : 2 * axes],
        steps[2 * axes :],
        output_padding is not None,
        output_padding or (0,) * axes,
        groups,
        needed,
    )
    return gradients

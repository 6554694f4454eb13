"""A convolution, relu and max_pool2d as one function.

Apart, the three keep for the backward pass the convolution's input, the rectified convolution
(four times as large as what a 2x2 pool leaves of it) and where the maxima were. The function keeps
the input and one byte of each maximum: its place in the window, or that it was not positive and so
has no gradient. It pools first and rectifies what is left, which is the same since both are
monotonic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cnnext.ops import conv2d, max_pool2d
from cnnext.ops.common.calls_at_once import Geometry
from cnnext.ops.common.convolution import layout_of
from cnnext.ops.common.pooling import Pair, pooled_size, scatter_to_planes, window_geometry
from cnnext.runtime import planned_calls
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.library import ops

# Where a maximum is that was not positive. max_pool2d_backward passes over offsets outside of the
# window.
_NOWHERE = 255


class Conv2dReLUMaxPool2dFunction(torch.autograd.Function):
    """max_pool2d(relu(conv2d(input, weight, bias))) of a batch. Twice differentiable.

    `geometry` is conv2d's, `size` that of the output, and `window` max_pool2d's, which is smaller
    than 256 elements.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        size: Pair,
        window: tuple[int, ...],
    ) -> Tensor:
        convolved = ops.conv2d_forward.default(input, weight, bias, *geometry)
        warn_once()
        output, where = ops.max_pool2d_forward.default(convolved, *size, *window, True)
        where.masked_fill_(output <= 0, _NOWHERE)
        ops.relu_.default(output)
        ctx.save_for_backward(input, weight, where)
        ctx.geometry, ctx.window = geometry, window
        ctx.size = tuple(convolved.shape[2:])
        ctx.layout = layout_of(convolved)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, where = ctx.saved_tensors
        if torch.is_grad_enabled():
            grad_convolved = _differentiable_backward(ctx, grad_output, where)
        else:
            grad_convolved = ops.max_pool2d_backward.default(
                grad_output, where, *ctx.size, *ctx.window
            )
        gradients = conv2d.gradients(
            grad_convolved, input, weight, ctx.geometry, ctx.layout, ctx.needs_input_grad[:3]
        )
        return *gradients, None, None, None


def _differentiable_backward(ctx: Any, grad_output: Tensor, where: Tensor) -> Tensor:
    """The gradient of the convolution in operators that have gradients themselves."""
    nowhere = where == _NOWHERE
    indices = max_pool2d.positions(where, ctx.size, ctx.window)
    return scatter_to_planes(
        grad_output.masked_fill(nowhere, 0), indices.masked_fill(nowhere, 0), ctx.size
    )


def conv_relu_pool(conv: Any, pool: Any, input: Tensor) -> Tensor | None:
    """max_pool2d(relu(conv(input))), or None if that is not a call of the function."""
    window = window_geometry(pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    if window is None or window[0] * window[1] > _NOWHERE or window[6:] != (1, 1):
        return None
    operands = (input, conv.weight, conv.bias)
    checked = conv2d.check(*operands, conv.stride, conv.padding, conv.dilation, conv.groups)
    if not isinstance(checked, tuple):
        return None
    geometry = checked[3:]
    convolved = conv2d.output_size(input, conv.weight, geometry)
    size = pooled_size(*convolved, window, pool.ceil_mode)
    if size is None:
        return None
    planned_calls.release(conv)
    return Conv2dReLUMaxPool2dFunction.apply(*operands, geometry, size, window)

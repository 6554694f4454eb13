"""batch_norm with its activation, and the convolution that reads the result, as one function.

Apart, they keep for the backward pass what batch_norm reads and what the convolution reads. Each is
a bounded affine function of the other, so the function keeps the first and computes the second once
more: a pass over memory, where the weight gradient takes the time of many.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cnnext.ops import batch_norm, conv2d
from cnnext.ops.batch_norm import Bounds
from cnnext.ops.common.calls_at_once import Geometry
from cnnext.ops.common.convolution import in_layout, layout_of
from cnnext.runtime.exact_sums import warn_once
from cnnext.runtime.library import ops


class BatchNormConv2dFunction(torch.autograd.Function):
    """conv2d(bounded(batch_norm(input)), filters, filter_bias) of a batch. Twice differentiable.

    The arguments are those of `BatchNormFunction`, without a residual, and conv2d's.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        filters: Tensor,
        filter_bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
        bounds: Bounds,
        geometry: Geometry,
    ) -> Tensor:
        normalised, mean, var = ops.batch_norm_forward.default(
            input, None, weight, bias, running_mean, running_var, training, momentum, eps, *bounds
        )
        output = ops.conv2d_forward.default(normalised, filters, filter_bias, *geometry)
        warn_once()
        statistics = (mean, var) if training else (running_mean, running_var)
        ctx.save_for_backward(input, weight, bias, filters, filter_bias, *statistics)
        ctx.training, ctx.eps, ctx.bounds, ctx.geometry = training, eps, bounds, geometry
        ctx.layout = layout_of(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[:5]
        if torch.is_grad_enabled():
            gradients = _differentiable_backward(ctx, grad_output)
        else:
            gradients = _backward(ctx, grad_output)
        kept = (
            gradient if need else None for gradient, need in zip(gradients, needed, strict=True)
        )
        return *kept, *(None,) * (len(ctx.needs_input_grad) - len(needed))


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    """In one piece of memory: what the convolution read, its gradient, that of the input."""
    input, weight, bias, filters, _, mean, var = ctx.saved_tensors
    need_input, need_weight, need_bias, need_filters, need_filter_bias = ctx.needs_input_grad[:5]
    piece = batch_norm.normalised(input, weight, bias, mean, var, ctx.eps, ctx.bounds)
    grad_output = in_layout(grad_output, ctx.layout)
    _, grad_filters, grad_filter_bias = conv2d.gradients(
        grad_output, piece, filters, ctx.geometry, None, (False, need_filters, need_filter_bias)
    )
    if not (need_input or need_weight or need_bias):
        return None, None, None, grad_filters, grad_filter_bias
    ops.conv2d_backward_input_.default(piece, grad_output, filters, *ctx.geometry)
    warn_once()
    grad_weight, grad_bias = ops.batch_norm_backward_.default(
        piece, input, weight, bias, mean, var, ctx.training, ctx.eps, *ctx.bounds
    )
    return piece, grad_weight, grad_bias, grad_filters, grad_filter_bias


def _differentiable_backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of the same in ATen's operators, which have gradients themselves."""
    input, weight, bias, filters, filter_bias, mean, var = ctx.saved_tensors
    low, high = ctx.bounds
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups = ctx.geometry
    running_mean, running_var = (None, None) if ctx.training else (mean, var)
    value = torch.nn.functional.batch_norm(
        input, running_mean, running_var, weight, bias, ctx.training, 0.0, ctx.eps
    )
    if low is not None:
        value = value.relu() if high is None else torch.nn.functional.hardtanh(value, low, high)
    value = torch.nn.functional.conv2d(
        value,
        filters,
        filter_bias,
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        groups,
    )
    inputs = [
        each
        for each, need in zip(
            (input, weight, bias, filters, filter_bias), ctx.needs_input_grad[:5], strict=True
        )
        if need
    ]
    found = iter(torch.autograd.grad(value, inputs, grad_output, create_graph=True))
    return tuple(next(found) if need else None for need in ctx.needs_input_grad[:5])

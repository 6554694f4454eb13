"""roi_pool, which is torchvision's: the function and `RoIPool` on cnnext's kernels.

Girshick, "Fast R-CNN", ICCV 2015 (https://arxiv.org/abs/1504.08083).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.ops.common.arguments import is_allocated
from cnnext.ops.common.pooling import empty_in_layout, may_need_gradient, prefers_channels_last
from cnnext.ops.common.roi_pooling import (
    Boxes,
    as_bins,
    as_rois,
    as_scale,
    check_numbers,
    why_wrong_shapes,
)
from cnnext.ops.common.roi_pooling import roi_pool as native_roi_pool
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# Kernels count the positions of a plane in 32 bits.
_MAX_POSITIONS = 2**31 - 1

# ------------------------------------------------------------------------------- fake kernels


@register_fake("roi_pool", "roi_pool_forward")
def _fake_forward(
    input: Tensor, boxes: Tensor, h_out: int, w_out: int, spatial_scale: float, record: bool
) -> tuple[Tensor, Tensor]:
    output = input.new_empty((boxes.shape[0], input.shape[1], h_out, w_out))
    argmax = torch.empty_like(output, dtype=torch.int32) if record else None
    return output, input.new_empty((0,), dtype=torch.int32) if argmax is None else argmax


@register_fake("roi_pool_backward")
def _fake_backward(
    grad_output: Tensor,
    boxes: Tensor,
    argmax: Tensor,
    n: int,
    h_in: int,
    w_in: int,
    channels_last: bool,
) -> Tensor:
    return empty_in_layout(grad_output, (n, grad_output.shape[1], h_in, w_in), channels_last)


# ----------------------------------------------------------------------------------- autograd


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    input, boxes = inputs[:2]
    n, _, h_in, w_in = input.shape
    ctx.arguments = (n, h_in, w_in, prefers_channels_last(input))
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # else argmax, of the output's size, gets one of zeros
    ctx.save_for_backward(boxes, output[1])


def _backward(ctx: Any, grad_output: Tensor | None, _: Tensor | None) -> tuple[Tensor | None]:
    if grad_output is None:
        return (None,)
    boxes, argmax = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        return (_scatter(grad_output, boxes, argmax, *ctx.arguments[:3]),)
    return (ops.roi_pool_backward.default(grad_output, boxes, argmax, *ctx.arguments),)


def _scatter(
    grad_output: Tensor, boxes: Tensor, argmax: Tensor, n: int, h_in: int, w_in: int
) -> Tensor:
    """The gradient of the input in differentiable operators."""
    channels = argmax.shape[1]
    channel = torch.arange(channels, device=argmax.device)
    plane = boxes[:, :1].long() * channels + channel
    position = plane[:, :, None, None] * (h_in * w_in) + argmax.clamp(min=0)
    added = torch.where(argmax >= 0, grad_output, 0)
    planes = grad_output.new_zeros(n * channels * h_in * w_in)
    summed = planes.scatter_add(0, position.view(-1), added.reshape(-1))
    return summed.view(n, channels, h_in, w_in)


_Recorded: Any = register_autograd("roi_pool", _backward, _save)


class RoIPoolFunction(_Recorded):
    """roi_pool of boxes (K, 5) to an output of (height, width) `size`.

    Returns (output, argmax). Twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, boxes: Tensor, size: tuple[int, int], spatial_scale: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        return _Recorded.forward(ctx, input, boxes, *size, spatial_scale, True)


# ----------------------------------------------------------------------------------- function


def roi_pool(
    input: Tensor, boxes: Boxes, output_size: int | tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """Maxima of each box over a grid of bins, as `torchvision.ops.roi_pool`.

    Corners are rounded to whole positions of the input, halves away from zero, and both belong to
    the box, which is one position wide and high at least. Neighbouring bins share the positions
    that their border crosses. What lies outside of the input is left out; a bin of which nothing
    remains is 0. NaN is never the maximum; a bin without a number above the least finite one is
    that number. Differentiable with respect to `input`: a bin's gradient goes to its maximum, of
    equal ones the first in row-major order.

    Args:
        input: (N, C, H, W), float32 or float64 on the CPU (any other floating-point tensor is
            computed by functions of PyTorch, with one `NativeFallbackWarning`).
        boxes: (K, 5), each an index into the batch and x1, y1, x2, y2 in the image; or a list of
            (K_i, 4) for each image.
        output_size: bins, an int or (vertical, horizontal).
        spatial_scale: size of the input over that of the image.

    Returns:
        (K, C, *output_size), contiguous.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or a box is not finite or of no image.
        TypeError: an operand is not a tensor.
        ValueError: output_size or spatial_scale is not as above.
    """
    operands = (input, as_rois(boxes, input))
    pooled: Tensor = launch(ROI_POOL, operands, output_size, spatial_scale, given=(input, boxes))
    return pooled


def _check(input: Tensor, boxes: Tensor, output_size: Any, spatial_scale: Any) -> Checked:
    size, scale = as_bins(output_size), as_scale(spatial_scale)
    if size is None or scale is None or why_wrong_shapes(input, boxes) is not None:
        return None
    if boxes.dtype != input.dtype:
        return f"input has {input.dtype}, and boxes have {boxes.dtype}"
    if input.shape[2] * input.shape[3] > _MAX_POSITIONS:
        return f"input has more than {_MAX_POSITIONS} positions"
    return input, boxes, *size, scale


def _compiled(*arguments: Any) -> Any:
    return ops.roi_pool.default(*arguments, may_need_gradient(arguments[0]))[0]


def _recorded(input: Tensor, boxes: Tensor, h_out: int, w_out: int, spatial_scale: float) -> Any:
    return RoIPoolFunction.apply(input, boxes, (h_out, w_out), spatial_scale)[0]


def _direct(*arguments: Any) -> Any:
    return direct.roi_pool_forward(*arguments, False)[0]


def _explain(input: Tensor, boxes: Tensor, *_: Any) -> None:
    """Kernels look at the numbers of boxes as well."""
    if is_allocated(boxes):
        check_numbers(boxes, input.shape[0])


# ------------------------------------------------------------------------------------- module


class RoIPool(Module):
    """`torchvision.ops.RoIPool` on cnnext's kernels: same arguments and results.

    Shapes: input (N, C, H, W) and boxes (K, 5); see `cnnext.functional.roi_pool`.
    """

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Boxes) -> Tensor:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


ROI_POOL = declare(
    Operator(
        name="roi_pool",
        function=roi_pool,
        native=native_roi_pool,
        own_module=RoIPool,
        autograd=RoIPoolFunction,
        raw=("roi_pool", "roi_pool_backward", "roi_pool_forward"),
        kernels="roi_pool",
        check=_check,
        compiled=_compiled,
        recorded=_recorded,
        direct=_direct,
        explain=_explain,
        cuda=CudaRule("native", "there are no kernels of ours", has_kernels=False),
    )
)

"""conv3d: `torch.nn.functional.conv3d` and `torch.nn.Conv3d` on cnnext's kernels.

A window of slices is an image with as many channels as they have together: conv2d's operators
compute the convolution of those. Where filters have one pixel a slice, a slice is a row.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv3d as native_conv3d

from cnnext.ops import conv2d
from cnnext.ops.common.arguments import as_int, int_triples
from cnnext.ops.common.calls_at_once import Geometry
from cnnext.ops.common.convolution import Gradients, Needed, differentiable_gradients
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import prefers_channels_last
from cnnext.ops.depth_windows import Window, count
from cnnext.runtime.fallback import FASTER_NATIVELY
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare

IntOrTriple = int | tuple[int, ...] | list[int]
Triple = tuple[int, int, int]

# ------------------------------------------------------------------------ volumes and images


def _plan(
    weight: Tensor, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> tuple[Window | None, Geometry]:
    """The windows of slices that are images, and the geometry of conv2d on those.

    No windows, where the slices of a volume are the rows of one image.
    """
    if weight.shape[3:] == (1, 1) and stride[1:] == (1, 1) and padding[1:] == (0, 0):
        return None, (stride[0], 1, padding[0], 0, dilation[0], 1, groups)
    window = (weight.shape[2], stride[0], padding[0], dilation[0])
    return window, (*stride[1:], *padding[1:], *dilation[1:], groups)


def _images(input: Tensor, window: Window | None, windows: Callable[..., Tensor]) -> Tensor:
    if window is None:
        return input.reshape(*input.shape[:3], -1)
    return windows(input, *window)


def _filters(weight: Tensor, window: Window | None) -> Tensor:
    """By way of a vector: sizes of one may have any strides, which a view would take over."""
    c_out, c_in, taps, *plane = weight.shape
    shape = (c_out, c_in, taps, 1) if window is None else (c_out, c_in * taps, *plane)
    return weight.reshape(-1).reshape(shape)


def _exchanged(volumes: Tensor, windows: Callable[..., Tensor]) -> Tensor:
    """With channels and slices in each other's place."""
    n, c, depth, *plane = volumes.shape
    if c > 1 and depth > 1:
        volumes = windows(volumes, 1, 1, 0, 1)
    return _in_shape(volumes, (n, depth, c, *plane))


def _in_shape(values: Tensor, shape: Sequence[int]) -> Tensor:
    """As a result that is no view, as that of native is none."""
    return torch.ops.aten._unsafe_view.default(values.contiguous(), shape)


def _computed_by(windows: Callable[..., Tensor], convolve: Any) -> Callable[..., Tensor]:
    """The operator, by operators for windows of slices and for convolutions of images."""

    def compute(input: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
        window, of_images = _plan(weight, *geometry)
        images = _images(input, window, windows)
        output = convolve(images, _filters(weight, window), bias, *of_images)
        if window is None:
            return _in_shape(output, (*output.shape[:3], *input.shape[3:]))
        depth = count(input.shape[2], *window)
        return _exchanged(output.reshape(-1, depth, *output.shape[1:]), windows)

    return compute


_direct = _computed_by(direct.depth_windows_forward, conv2d.CONV2D.direct)

# ----------------------------------------------------------------------------------- autograd


class Conv3dFunction(Function):
    """conv3d of a batched input; arguments as `cnnext.functional.conv3d`.

    `padding` is an int or a triple here. Keeps the input, not its windows. Twice differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: IntOrTriple = 1,
        padding: IntOrTriple = 0,
        dilation: IntOrTriple = 1,
        groups: int = 1,
    ) -> Tensor:
        triples = int_triples("conv3d", stride=stride, padding=padding, dilation=dilation)
        ctx.save_for_backward(input, weight)
        ctx.geometry = (*triples, groups)
        return _direct(input, weight, bias, *ctx.geometry)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        asked = len(ctx.needs_input_grad)
        needed = (*ctx.needs_input_grad, False)[:3]  # bias is not given to all calls
        if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's has one
            *triples, groups = ctx.geometry
            geometry = (*(n for triple in triples for n in triple), groups)
            gradients = differentiable_gradients(
                grad_output, input, weight, weight.shape[0], geometry, needed
            )
        else:
            gradients = _gradients(grad_output, input, weight, ctx.geometry, needed)
        return (*gradients, *(None,) * asked)[:asked]


def _gradients(
    grad_output: Tensor, input: Tensor, weight: Tensor, geometry: Any, needed: Needed
) -> Gradients:
    """Those of the images, as those of the volumes."""
    windows: Any = ops.depth_windows_forward.default
    window, of_images = _plan(weight, *geometry)
    if window is None:
        images, grads = (t.reshape(*t.shape[:3], -1) for t in (input, grad_output))
    else:
        # The gradient of the input asks for the size of images alone.
        images = windows(input, *window) if needed[1] else input[:, :, 0]
        grads = _exchanged(grad_output, windows)
        grads = grads.reshape(-1, *grads.shape[2:])
    filters = _filters(weight, window)
    of_input, of_weight, of_bias = conv2d.gradients(
        grads, images, filters, of_images, torch.contiguous_format, needed
    )
    if of_input is not None:
        of_input = (
            _in_shape(of_input, input.shape)
            if window is None
            else ops.depth_windows_backward.default(of_input, input.shape[2], *window)
        )
    if of_weight is not None:
        of_weight = _in_shape(of_weight, weight.shape)
    return of_input, of_weight, of_bias


# ----------------------------------------------------------------------------------- function


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTriple = 1,
    padding: str | IntOrTriple = 0,
    dilation: IntOrTriple = 1,
    groups: int = 1,
) -> Tensor:
    """3-D convolution (cross-correlation), as `torch.nn.functional.conv3d`.

    Args:
        input: (N, C_in, D, H, W) or (C_in, D, H, W), float32 or float64 on the CPU (anything else
            that native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        weight: (C_out, C_in / groups, K_d, K_h, K_w), of the same dtype.
        bias: (C_out,) or None.
        stride, dilation: elements, an int or (depth, vertical, horizontal).
        padding: elements, an int or three, or 'valid', or 'same' (stride 1 only).
        groups: divides C_in and C_out.

    Returns:
        (N, C_out, D_out, H_out, W_out) or (C_out, D_out, H_out, W_out), with
        D_out = floor((D + 2 padding - dilation (K_d - 1) - 1) / stride) + 1.
        Native computes what is in channels_last_3d, and depthwise filters.

    Raises:
        RuntimeError: shapes, dtypes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(CONV3D, (input, weight, bias), stride, padding, dilation, groups)


def _check(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrTriple,
    padding: str | bytes | IntOrTriple,
    dilation: IntOrTriple,
    groups: int,
) -> Checked:
    if input.dim() not in (4, 5) or weight.dim() != 5 or 0 in input.shape or 0 in weight.shape:
        return None
    if input.dim() == 4:
        input = input.unsqueeze(0)
    groups = as_int("conv3d", "groups", groups)
    options = {"stride": stride, "dilation": dilation}
    if isinstance(padding, str | bytes):
        strides, dilations = int_triples("conv3d", **options)
        padded = conv2d.pad_by_name(input, weight, strides, padding, dilations)
        if padded is None:
            return None
        input, pads = padded
    else:
        strides, dilations, pads = int_triples("conv3d", **options, padding=padding)
    if not _fits(input, weight, bias, groups):
        return None
    for size, k, step, pad, spread in zip(
        input.shape[2:], weight.shape[2:], strides, pads, dilations, strict=True
    ):
        if step <= 0 or spread <= 0 or pad < 0 or size + 2 * pad <= spread * (k - 1):
            return None
    is_depthwise = weight.shape[1] == 1 < groups
    if is_depthwise or any(map(prefers_channels_last, (input, weight))):
        return FASTER_NATIVELY
    return input, weight, bias, strides, pads, dilations, groups


def _fits(input: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> bool:
    """Whether channels and dtypes are right."""
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != input.dtype):
        return False
    return (
        input.dtype == weight.dtype
        and groups > 0
        and weight.shape[0] % groups == 0
        and input.shape[1] == weight.shape[1] * groups
    )


def _from_batch(output: Tensor, dim: int) -> Tensor:
    return output if dim == 5 else output.squeeze(0)


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.Conv3d, "forward", "_conv_forward", scriptable=False)


@_native.drop_in
class Conv3d(torch.nn.Conv3d, metaclass=ABCMeta):
    """`torch.nn.Conv3d` on cnnext's kernels: same arguments, parameters, errors and results.

    Shapes: input (N, C_in, D, H, W) or (C_in, D, H, W); see `cnnext.functional.conv3d`.
    TorchScript compiles native's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if _native.cls._conv_forward is not _native._conv_forward:
            return _native.call_replaced("_conv_forward", self, input, weight, bias)
        input, padding = conv2d.pad_by_mode(self, input)
        options = (self.stride, padding, self.dilation, self.groups)
        return launch(CONV3D, (input, weight, bias), *options)


CONV3D = declare(
    Operator(
        name="conv3d",
        function=conv3d,
        native=native_conv3d,
        module=Conv3d,
        autograd=Conv3dFunction,
        optional=1,
        check=_check,
        compiled=_computed_by(ops.depth_windows.default, ops.conv2d.default),
        recorded=Conv3dFunction.apply,
        direct=_direct,
        from_images=_from_batch,
        cuda=CudaRule("native", "cuDNN multiplies on tensor cores", has_kernels=False),
    )
)

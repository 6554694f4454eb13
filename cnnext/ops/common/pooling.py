"""What pools share: windows, sizes of outputs, layouts, batches, second derivatives."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from cnnext.runtime.fallback import gradient_needed
from cnnext.runtime.library import ops
from cnnext.runtime.registration import register_autograd, register_fake

Pair = tuple[int, int]
#: k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w.
Windows = tuple[int, int, int, int, int, int, int, int]
IntOrSize = int | None | tuple[int | None, ...] | list[int | None]

# The end of the sizes, strides and paddings that native takes.
_LIMIT = 2**31


def output_extent(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """The number of windows along one axis."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return reach // stride + 1
    extent = -(-reach // stride) + 1
    # The last window has to begin inside the input or its left padding.
    return extent - 1 if (extent - 1) * stride >= size + padding else extent


def as_non_negative_int(value: Any) -> int | None:
    """`value` as an integer that a kernel takes, or None if it is not one."""
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if isinstance(value, Tensor) and value.dim() > 0:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if 0 <= number < _LIMIT and not isinstance(value, bool) else None


def as_pair(value: Any) -> Pair | None:
    """(vertical, horizontal) of an argument of a pool, or None if it is not what kernels take."""
    if type(value) is int and 0 <= value < _LIMIT:  # what nearly everybody gives
        return value, value
    pair = value if isinstance(value, tuple | list) else (value,)
    if len(pair) not in (1, 2):
        return None
    first, last = as_non_negative_int(pair[0]), as_non_negative_int(pair[-1])
    return None if first is None or last is None else (first, last)


def adaptive_size(input: Tensor, output_size: Any) -> Pair | None:
    """The output's (height, width) of an adaptive pool, or None if kernels do not take it."""
    if not is_image(input):
        return None
    if isinstance(output_size, tuple | list):
        if len(output_size) != 2:
            return None
        wanted = zip(output_size, input.shape[-2:], strict=True)
        output_size = [default if size is None else size for size, default in wanted]
    elif not isinstance(output_size, int | torch.SymInt):  # native wants no other integers here
        return None
    size = as_pair(output_size)
    return None if size is None or 0 in size else size


def is_image(input: Tensor) -> bool:
    """Whether the input is a batch of images, or an image, with something in it."""
    return input.dim() in (3, 4) and 0 not in input.shape


def window_geometry(
    kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Windows | None:
    """The windows of a pool, or None if these are not arguments that kernels take."""
    no_stride = stride is None or (isinstance(stride, tuple | list) and len(stride) == 0)
    kernel, pad, dilations = as_pair(kernel_size), as_pair(padding), as_pair(dilation)
    step = kernel if no_stride else as_pair(stride)
    if kernel is None or step is None or pad is None or dilations is None:
        return None
    if 0 in kernel or 0 in step or 0 in dilations:
        return None
    if pad[0] > kernel[0] // 2 or pad[1] > kernel[1] // 2:
        return None
    return *kernel, *step, *pad, *dilations


def pooled_size(height: int, width: int, windows: Windows, ceil_mode: Any) -> Pair | None:
    """(height, width) of the output for an image of this size, or None if it has no windows."""
    if not isinstance(ceil_mode, bool):
        return None
    k_h, k_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w = windows
    h_out = output_extent(height, k_h, stride_h, pad_h, dilation_h, ceil_mode)
    w_out = output_extent(width, k_w, stride_w, pad_w, dilation_w, ceil_mode)
    return (h_out, w_out) if h_out > 0 and w_out > 0 else None


def prefers_channels_last(input: Tensor) -> bool:
    """ATen's rule (c10::is_channels_last_strides_2d and _3d).

    Of symbols by torch, which imports SymPy.
    """
    sizes, strides = input.shape, input.stride()
    if not all(type(number) is int for number in (*sizes, *strides)):
        return suggest_memory_format(input) in (torch.channels_last, torch.channels_last_3d)
    if len(sizes) not in (4, 5) or 0 in sizes or strides[1] == 0:
        return False
    least = 0
    for axis in (1, *range(len(sizes) - 1, 1, -1), 0):
        if strides[axis] < least or (axis == 0 and least == strides[1]):  # N111 is ambiguous
            return False
        least = strides[axis] * sizes[axis]
    return True


def empty_in_layout(like: Tensor, size: tuple[int, ...], channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return like.new_empty(size).to(memory_format=layout)


def register_average(op: str) -> Any:
    """Registers the fake kernels and the gradients of a pool of averages, which is linear.

    `<op>` and `<op>_forward` take the input, the output's height and width, and the windows, of
    which an adaptive pool has none; `<op>_backward` takes the gradient of the output, the input's
    height and width, whether the input prefers channels_last, and the windows. So the gradient of
    `<op>_backward` is `<op>` itself.

    Returns:
        The Function, on the arguments of `<op>`.
    """
    forward_again, differentiate = (getattr(ops, name).default for name in (op, f"{op}_backward"))

    @register_fake(op, f"{op}_forward")
    def fake_forward(input: Tensor, h_out: int, w_out: int, *windows: int) -> Tensor:
        size = (input.shape[0], input.shape[1], h_out, w_out)
        return empty_in_layout(input, size, prefers_channels_last(input))

    @register_fake(f"{op}_backward")
    def fake_backward(
        grad_output: Tensor, h_in: int, w_in: int, channels_last: bool, *windows: int
    ) -> Tensor:
        size = (grad_output.shape[0], grad_output.shape[1], h_in, w_in)
        return empty_in_layout(grad_output, size, channels_last)

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, _, _, *windows = inputs
        channels_last = prefers_channels_last(input)
        ctx.backward_arguments = (input.shape[2], input.shape[3], channels_last, *windows)

    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
        return (differentiate(grad_output, *ctx.backward_arguments),)

    def save_for_second(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        grad_output, _, _, _, *windows = inputs
        ctx.arguments = (*grad_output.shape[2:], *windows)

    def second_backward(ctx: Any, grad: Tensor) -> tuple[Tensor]:
        return (forward_again(grad, *ctx.arguments),)

    register_autograd(f"{op}_backward", second_backward, save_for_second)
    return register_autograd(op, backward, save)


def may_need_gradient(input: Tensor) -> bool:
    """Whether to record where maxima are: also for whoever trains with an exported program."""
    return gradient_needed(input) or (
        torch.compiler.is_compiling() and torch.compiler.is_exporting() and torch.is_grad_enabled()
    )


def as_batch(input: Tensor) -> Tensor:
    """The input, a (C, H, W) image as a batch of one, in no layout but NCHW.

    By way of a vector: sizes of one may have any strides, which a view would take over.
    """
    if input.dim() == 4:
        return input
    return input.contiguous().view(-1).view(1, *input.shape)


def without_batch(result: Any) -> Any:
    """The results for a batch of one, as for an image; no view, as that of native is none."""
    if isinstance(result, tuple):
        return tuple(map(without_batch, result))
    return torch.ops.aten._unsafe_view.default(result, result.shape[1:])


def scatter_to_planes(grad_output: Tensor, indices: Tensor, size: Pair) -> Tensor:
    """The gradient of a max-pool whose maxima were at `indices`, in differentiable operators."""
    n, c, *_ = indices.shape
    planes = grad_output.new_zeros((n, c, size[0] * size[1]))
    grads = grad_output.reshape(n, c, -1)
    return planes.scatter_add(2, indices.flatten(2), grads).reshape(n, c, *size)

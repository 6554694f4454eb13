"""What pools share: sizes of outputs, what native has to judge, second derivatives."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from cnnext.ops.common.arguments import shape_of
from cnnext.runtime.fallback import gradient_needed
from cnnext.runtime.library import ops
from cnnext.runtime.registration import register_autograd

Pair = tuple[int, int]
IntOrSize = int | None | tuple[int | None, ...] | list[int | None]

# Of sizes, strides and paddings: what native takes.
_MOST = 2**31


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
    return number if 0 <= number < _MOST and not isinstance(value, bool) else None


def as_pair(value: Any) -> Pair | None:
    """(vertical, horizontal) of an argument of a pool, or None if it is not what kernels take."""
    pair = value if isinstance(value, tuple | list) else (value,)
    if len(pair) not in (1, 2):
        return None
    first, last = as_non_negative_int(pair[0]), as_non_negative_int(pair[-1])
    return None if first is None or last is None else (first, last)


def adaptive_size(input: Tensor, output_size: Any) -> Pair | None:
    """(height, width) that an adaptive pool is asked for, or None if kernels do not take that."""
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


def delegate_to_native(op: str, native: Callable[..., Any], input: Tensor, **arguments: Any) -> Any:
    """Native's result, where there is nothing to compute, or its error with what it was given."""
    try:
        return native(input, *arguments.values())
    except Exception as error:
        _reject(op, error, input, arguments)


def _reject(op: str, error: Exception, input: Tensor, arguments: dict[str, Any]) -> NoReturn:
    given = [f"input.shape={shape_of(input)}"]
    given += [f"{name}={value!r}" for name, value in arguments.items()]
    raise type(error)(f"{op}(): {error}, but got {', '.join(given)}") from None


def prefers_channels_last(input: Tensor) -> bool:
    """ATen's rule (c10::is_channels_last_strides_2d), of symbols by torch, which imports SymPy."""
    sizes, strides = input.shape, input.stride()
    if not all(type(number) is int for number in (*sizes, *strides)):
        return suggest_memory_format(input) is torch.channels_last
    if len(sizes) != 4 or 0 in sizes or strides[1] == 0:
        return False
    least = 0
    for axis in (1, 3, 2, 0):
        if strides[axis] < least or (axis == 0 and least == strides[1]):  # N111 is ambiguous
            return False
        least = strides[axis] * sizes[axis]
    return True


def empty_in_layout(like: Tensor, size: tuple[int, ...], channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return like.new_empty(size).to(memory_format=layout)


def differentiate_backward(op: str, arguments_of: Callable[..., tuple[Any, ...]]) -> None:
    """Registers that the gradient of the linear operator `<op>_backward` is `op` itself.

    `arguments_of` takes the arguments of `<op>_backward` and returns those of `op` after the first.
    """

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.arguments, ctx.others = arguments_of(*inputs), len(inputs) - 1

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return getattr(ops, op).default(grad, *ctx.arguments), *(None,) * ctx.others

    register_autograd(f"{op}_backward", backward, setup_context)


def may_need_gradient(input: Tensor) -> bool:
    """Whether to record where maxima are: also for whoever trains with an exported program."""
    return gradient_needed(input) or (
        torch.compiler.is_compiling() and torch.compiler.is_exporting() and torch.is_grad_enabled()
    )


def as_batch(image: Tensor) -> Tensor:
    """A (C, H, W) image as a batch of one, in no layout but NCHW.

    By way of a vector: sizes of one may have any strides, which a view would take over.
    """
    return image.contiguous().view(-1).view(1, *image.shape)


def without_batch(output: Tensor) -> Tensor:
    """What a batch of one came to; no view, as that of native is none."""
    return torch.ops.aten._unsafe_view.default(output, output.shape[1:])


def scatter_to_planes(grad_output: Tensor, indices: Tensor, size: Pair) -> Tensor:
    """The gradient of a max-pool whose maxima were at `indices`, in differentiable operators."""
    n, c, *_ = indices.shape
    planes = grad_output.new_zeros((n, c, size[0] * size[1]))
    grads = grad_output.reshape(n, c, -1)
    return planes.scatter_add(2, indices.flatten(2), grads).reshape(n, c, *size)

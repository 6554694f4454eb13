"""depth_windows: volumes as images whose channels are those of a window of slices.

What convolutions of volumes and their gradients move, in `torch.ops.cnnext` alone.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cnnext.runtime.library import ops
from cnnext.runtime.operator import Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

#: taps, stride, padding, dilation.
Window = tuple[int, int, int, int]


def count(depth: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows there are."""
    return (depth + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


@register_fake("depth_windows", "depth_windows_forward")
def _fake_forward(input: Tensor, taps: int, *steps: int) -> Tensor:
    n, c, depth, *plane = input.shape
    return input.new_empty((n * count(depth, taps, *steps), c * taps, *plane))


@register_fake("depth_windows_backward")
def _fake_backward(grad_output: Tensor, depth: int, taps: int, *steps: int) -> Tensor:
    images, channels, *plane = grad_output.shape
    n = images // count(depth, taps, *steps)
    return grad_output.new_empty((n, channels // taps, depth, *plane))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.depth, ctx.window = inputs[0].shape[2], inputs[1:]


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
    return (ops.depth_windows_backward.default(grad_output, ctx.depth, *ctx.window),)


def _save_for_second(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.window = inputs[2:]


def _second_backward(ctx: Any, grad: Tensor) -> tuple[Tensor]:
    return (ops.depth_windows.default(grad, *ctx.window),)


register_autograd("depth_windows_backward", _second_backward, _save_for_second)
register_autograd("depth_windows", _backward, _save)

DEPTH_WINDOWS = declare(
    Operator(
        name="depth_windows",
        raw=("depth_windows", "depth_windows_backward", "depth_windows_forward"),
        kernels="depth_windows",
    )
)

"""max_unpool2d: the function and `torch.nn.MaxUnpool2d` on cnnext's kernels."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_unpool2d as native_max_unpool2d

from cnnext.ops.common.arguments import IntOrPair, is_allocated, shape_of
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.pooling import (
    Pair,
    as_batch,
    as_pair,
    empty_in_layout,
    is_image,
    prefers_channels_last,
    without_batch,
)
from cnnext.runtime.fallback import is_plain
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("max_unpool2d", "max_unpool2d_forward")
def _fake_forward(input: Tensor, indices: Tensor, h_out: int, w_out: int) -> Tensor:
    size = (input.shape[0], input.shape[1], h_out, w_out)
    return empty_in_layout(input, size, prefers_channels_last(input))


@register_fake("max_unpool2d_backward")
def _fake_backward(grad_output: Tensor, indices: Tensor) -> Tensor:
    return grad_output.new_empty(indices.shape)


# ----------------------------------------------------------------------------------- autograd


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor]:
    (indices,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # a graph of the backward pass is wanted: ATen's is differentiable
        planes, positions = (t.reshape(*t.shape[:2], -1) for t in (grad_output, indices))
        return (planes.gather(2, positions).reshape(indices.shape),)
    return (ops.max_unpool2d_backward.default(grad_output, indices),)


_Recorded: Any = register_autograd("max_unpool2d", _backward, _save)


class MaxUnpool2dFunction(_Recorded):
    """max_unpool2d of a batched input; arguments as `cnnext.functional.max_unpool2d`.

    Differentiable any number of times.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        indices: Tensor,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        output_size: Any = None,
    ) -> Tensor:
        arguments = _check(input, indices, kernel_size, stride, padding, output_size)
        if not isinstance(arguments, tuple):
            raise ValueError(
                f"MaxUnpool2dFunction: there are no kernels for input.shape={shape_of(input)}, "
                f"{kernel_size=}, {stride=}, {padding=}, {output_size=}"
            )
        return _Recorded.forward(ctx, *arguments)


# ----------------------------------------------------------------------------------- function


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    output_size: Any = None,
) -> Tensor:
    """Maxima back at their places among zeros, as `torch.nn.functional.max_unpool2d`.

    Of several with one place, the last in row-major order is there.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64 on the CPU (anything else that native
            takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        indices: int64, of the same shape: the place h W_out + w of each, as `max_pool2d` has it.
        kernel_size, padding: of the pool, pixels, an int or (vertical, horizontal).
        stride: of the pool; None means kernel_size.
        output_size: (H_out, W_out), with or without N and C in front, which several images have
            whose pool is of this size; None means the smallest of whole windows.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), in the layout of the input, with
        H_out = (H - 1) stride - 2 padding + kernel_size, if there is no output_size.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or an index is outside of the output.
        ValueError: output_size does not fit.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(MAX_UNPOOL2D, (input,), indices, kernel_size, stride, padding, output_size)


def _check(
    input: Tensor, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Checked:
    if not is_plain(indices) or not is_image(input) or indices.shape != input.shape:
        return None
    if indices.dtype != torch.int64 or indices.device != input.device:
        return None
    if torch.are_deterministic_algorithms_enabled():
        return None  # native rejects the call, as its threads may write to one place
    kernel, pad = _pair(kernel_size), _pair(padding)
    step = kernel if stride is None else _pair(stride)
    if kernel is None or step is None or pad is None:
        return None
    size = _size(input, kernel, step, pad, output_size)
    if size is None or min(size) <= 0:
        return None
    return as_batch(input), as_batch(indices), *size


def _pair(value: Any) -> Pair | None:
    """(vertical, horizontal) of plain integers: native's arithmetic takes all else in its way."""
    numbers = value if isinstance(value, tuple | list) else (value, value)
    if len(numbers) != 2 or not all(type(n) is int or isinstance(n, torch.SymInt) for n in numbers):
        return None
    return as_pair(tuple(numbers))


def _size(input: Tensor, kernel: Pair, step: Pair, pad: Pair, output_size: Any) -> Pair | None:
    """(height, width) of the output, or None for native to judge."""
    (h_in, w_in), (k_h, k_w), (s_h, s_w), (p_h, p_w) = input.shape[-2:], kernel, step, pad
    whole = ((h_in - 1) * s_h - 2 * p_h + k_h, (w_in - 1) * s_w - 2 * p_w + k_w)
    if output_size is None:
        return whole
    if not isinstance(output_size, tuple | list) or len(output_size) not in (2, 4):
        return None
    size = _pair(tuple(output_size[-2:]))
    if size is None or any(abs(n - m) >= s for n, m, s in zip(size, whole, step, strict=True)):
        return None
    return size


def _explain(input: Tensor, indices: Tensor, h_out: int, w_out: int) -> None:
    """Kernels look at the indices as well."""
    if not is_allocated(indices):
        return
    places = min(h_out * w_out, 2**63 - 1)
    wrong = indices[(indices < 0) | (indices >= places)]
    if wrong.numel() > 0:
        raise RuntimeError(
            f"Found an invalid max index: {int(wrong[-1])} "
            f"(output volumes are of size {h_out}x{w_out})"
        )


# ------------------------------------------------------------------------------------- module


_native = NativeLayer(torch.nn.MaxUnpool2d, scriptable=False)


@_native.drop_in
class MaxUnpool2d(torch.nn.MaxUnpool2d, metaclass=ABCMeta):
    """`torch.nn.MaxUnpool2d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input and indices (N, C, H, W) or (C, H, W); see `cnnext.functional.max_unpool2d`.
    TorchScript compiles native's.
    """

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input, indices, output_size)
        return max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


MAX_UNPOOL2D = declare(
    Operator(
        name="max_unpool2d",
        function=max_unpool2d,
        native=native_max_unpool2d,
        module=MaxUnpool2d,
        autograd=MaxUnpool2dFunction,
        raw=("max_unpool2d", "max_unpool2d_backward", "max_unpool2d_forward"),
        kernels="max_unpool2d",
        check=_check,
        compiled=ops.max_unpool2d.default,
        recorded=_Recorded.apply,
        direct=direct.max_unpool2d_forward,
        explain=_explain,
        unbatched=without_batch,
        cuda=CudaRule("native", "ATen moves as many bytes", has_kernels=False),
    )
)

"""batch_norm: `torch.nn.functional.batch_norm` and `torch.nn.BatchNorm1d` and `2d` on our kernels.

The kernels may add a tensor and bound the result as they write it
(csrc/normalization/batch_norm.h); `cnnext.ops.fused` puts together what layers do in a row.
"""

from __future__ import annotations

import math
from abc import ABCMeta
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import batch_norm as native_batch_norm

from cnnext.ops.common.drop_in import NativeLayer
from cnnext.runtime.launch import launch
from cnnext.runtime.library import direct, ops
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare
from cnnext.runtime.registration import register_autograd, register_fake

# ------------------------------------------------------------------------------- fake kernels


@register_fake("batch_norm")
def _fake(
    input: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    training: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    channels = input.shape[1] if training else 0
    statistics = (input.new_empty(channels) for _ in range(2))
    return (_like(input), *statistics)  # type: ignore[return-value]


@register_fake("batch_norm_forward")
def _fake_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _fake(*arguments[:7])


@register_fake("batch_norm_backward")
def _fake_backward(
    grad_output: Tensor, input: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, need_input, need_residual = rest
    images = (_like(input) if need else input.new_empty(0) for need in (need_input, need_residual))
    parameters = (input.new_empty(input.shape[1]) for _ in range(2))
    return (*images, *parameters)  # type: ignore[return-value]


@register_fake("batch_norm_backward_")
def _fake_backward_in_place(self: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    grad_weight, grad_bias = (self.new_empty(self.shape[1]) for _ in range(2))
    return grad_weight, grad_bias


def _like(input: Tensor) -> Tensor:
    return torch.empty_like(input, memory_format=torch._prims_common.suggest_memory_format(input))


# ----------------------------------------------------------------------------------- autograd


class Bounds(NamedTuple):
    """What a result is bounded by: nothing, 0 from below (relu), or two numbers (hardtanh)."""

    low: float | None = None
    high: float | None = None


_UNBOUNDED = Bounds()


def _keep(
    ctx: Any,
    operands: tuple[Tensor, Tensor | None, Tensor | None],
    statistics: tuple[Tensor | None, Tensor | None],
    bounded_sum: Tensor | None,
    arguments: tuple[bool, float, float | None, float | None],
) -> None:
    """Saves what the gradients need; of a sum that was bounded, the result tells by what."""
    input, weight, bias = operands
    if arguments[2] is None:  # no bound, of which the bias would tell
        bias = None
    ctx.save_for_backward(input, bounded_sum, weight, bias, *statistics)
    ctx.arguments = arguments


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    input, residual, weight, bias, mean, var, training, eps, low, high = inputs
    result, *of_batch = output
    _keep(
        ctx,
        (input, weight, bias),
        (of_batch[0], of_batch[1]) if training else (mean, var),
        None if residual is None or low is None else result,
        (training, eps, low, high),
    )


def _forward(
    ctx: Any,
    input: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    low: float | None,
    high: float | None,
) -> Tensor:
    output, mean, var = ops.batch_norm_forward.default(
        input, residual, weight, bias, running_mean, running_var, training, momentum, eps, low, high
    )
    _keep(
        ctx,
        (input, weight, bias),
        (mean, var) if training else (running_mean, running_var),
        None if residual is None or low is None else output,
        (training, eps, low, high),
    )
    return output


_Needed = tuple[bool, bool, bool, bool]  # gradients of input, residual, weight and bias


def _backward(ctx: Any, grad_output: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return _gradients(ctx, grad_output, ctx.needs_input_grad[:4])


def _gradients(ctx: Any, grad_output: Tensor, needed: _Needed) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():
        gradients = _differentiable_backward(grad_output, needed, ctx.saved_tensors, ctx.arguments)
    else:
        gradients = ops.batch_norm_backward.default(
            grad_output, *ctx.saved_tensors, *ctx.arguments, needed[0], needed[1]
        )
    return tuple(
        gradient if need else None for gradient, need in zip(gradients, needed, strict=True)
    )


def _differentiable_backward(
    grad_output: Tensor,
    needed: _Needed,
    saved: tuple[Any, ...],
    arguments: tuple[bool, float, float | None, float | None],
) -> tuple[Tensor | None, ...]:
    """The gradients in operators that have gradients themselves."""
    input, bounded_sum, weight, bias, mean, var = saved
    training, eps, low, high = arguments
    if low is not None:
        with torch.no_grad():
            bounded = bounded_sum
            if bounded is None:
                bounded = normalised(input, weight, bias, mean, var, eps, Bounds(low, high))
            stopped = bounded <= low
            if high is not None:
                stopped |= bounded >= high
        grad_output = grad_output.masked_fill(stopped, 0)
    grad_input, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward.default(
        grad_output,
        input,
        weight,
        None if training else mean,
        None if training else var,
        mean if training else None,
        (var + eps).rsqrt() if training else None,
        training,
        eps,
        (needed[0], needed[2], needed[3]),
    )
    return grad_input, grad_output, grad_weight, grad_bias


def normalised(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    bounds: Bounds,
) -> Tensor:
    """The output by given statistics, without a graph: that of a call in training once more."""
    output, _, _ = ops.batch_norm_forward.default(
        input, None, weight, bias, mean, var, False, 0.0, eps, *bounds
    )
    return output


_Recorded: Any = register_autograd("batch_norm", _backward, _save, _forward)


class BatchNormFunction(torch.autograd.Function):
    """batch_norm of (N, C, ...); arguments as `cnnext.functional.batch_norm`. Twice differentiable.

    With a `residual` of the input's shape the result is batch_norm(input) + residual. It is bounded
    from below by `low`, which then is 0, or by `low` and `high`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
        residual: Tensor | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        operands = (input, residual, weight, bias, running_mean, running_var)
        return _forward(ctx, *operands, training, momentum, eps, low, high)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        needs = (*ctx.needs_input_grad, *(False,) * 3)  # which are not given to all calls
        of_input, of_residual, of_weight, of_bias = _gradients(
            ctx, grad_output, (needs[0], needs[8], needs[3], needs[4])
        )
        found = (of_input, None, None, of_weight, of_bias, None, None, None, of_residual)
        return (*found, None, None)[: len(ctx.needs_input_grad)]


# ----------------------------------------------------------------------------------- function


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of each channel, as `torch.nn.functional.batch_norm`.

    (input - mean) / sqrt(var + eps) * weight + bias, where mean and var, which is biased, are those
    of the batch in training and the running statistics otherwise (Ioffe and Szegedy, ICML 2015).

    Args:
        input: (N, C), (N, C, L) or (N, C, H, W), float32 or float64 on the CPU (anything else that
            native takes is computed by native PyTorch, with one `NativeFallbackWarning`).
        running_mean, running_var: (C,); updated in training, where they may be None.
        weight, bias: (C,) or None.
        training: whether to use the statistics of the batch.
        momentum: the share of the batch's statistics in the running ones' new values, where the
            variance is the unbiased one.
        eps: added to the variance.

    Returns:
        The input's shape, in its layout.

    Raises:
        ValueError: one value for each channel in training, or an eps that is not positive.
        RuntimeError: shapes or dtypes do not fit, as in torch.nn.functional.
    """
    operands = (input, running_mean, running_var, weight, bias)
    return launch(BATCH_NORM, operands, training, momentum, eps)


def check(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: Any,
    momentum: Any,
    eps: Any,
) -> Checked:
    """The operands and the numbers that our kernels take."""
    shape = input.shape
    if len(shape) < 2 or 0 in shape or type(training) is not bool:
        return None
    if len(shape) > 4:
        return f"there are no kernels for input.dim()={len(shape)}"
    if type(momentum) not in (float, int) or type(eps) not in (float, int):
        return None
    if training and (eps <= 0 or math.prod(shape) == shape[1]):
        return None
    if eps < 0 or not (training or (running_mean is not None and running_var is not None)):
        return None
    for operand in (running_mean, running_var, weight, bias):
        if operand is None:
            continue
        if operand.shape != shape[1:2] or operand.dtype != input.dtype:
            return None
    for running in (running_mean, running_var):
        if running is None:
            continue
        if running.requires_grad and torch.is_grad_enabled():  # native rejects that
            return None
        if not running.is_contiguous():
            return "the running statistics are not contiguous"
    return input, running_mean, running_var, weight, bias, training, float(momentum), float(eps)


def in_graph(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: Tensor | None = None,
    bounds: Bounds = _UNBOUNDED,
) -> Tensor:
    """Where a compiler follows: the operator only reads, and the statistics are updated apart."""
    output, mean, var = ops.batch_norm.default(
        input, residual, weight, bias, running_mean, running_var, training, eps, *bounds
    )
    if training:
        count = input.numel() // input.shape[1]
        if running_mean is not None:
            running_mean.mul_(1 - momentum).add_(mean.detach(), alpha=momentum)
        if running_var is not None:
            unbiased = count / (count - 1)
            running_var.mul_(1 - momentum).add_(var.detach(), alpha=momentum * unbiased)
    return output


def recorded(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: Tensor | None = None,
    bounds: Bounds = _UNBOUNDED,
) -> Tensor:
    """What autograd differentiates."""
    return BatchNormFunction.apply(
        input, running_mean, running_var, weight, bias, training, momentum, eps, residual, *bounds
    )


def computed(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: Tensor | None = None,
    bounds: Bounds = _UNBOUNDED,
) -> Tensor:
    """The output alone."""
    output, _, _ = direct.batch_norm_forward(
        input, residual, weight, bias, running_mean, running_var, training, momentum, eps, *bounds
    )
    return output


# ------------------------------------------------------------------------------------- module


def running_statistics(module: Any) -> tuple[Tensor | None, Tensor | None, bool]:
    """What torch.nn's modules pass on: running mean and variance, and whether to train."""
    running_mean, running_var = module.running_mean, module.running_var
    training = module.training or (running_mean is None and running_var is None)
    if module.training and not module.track_running_stats:
        return None, None, training
    return running_mean, running_var, training


def count_call(module: Any) -> float:
    """Counts a call in training as torch.nn's modules do; returns the momentum for it."""
    if module.training and module.track_running_stats and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        if module.momentum is None:
            return 1.0 / float(module.num_batches_tracked)
    return 0.0 if module.momentum is None else module.momentum


def _forward_of_module(module: Any, input: Tensor) -> Tensor:
    module._check_input_dim(input)
    momentum = count_call(module)
    running_mean, running_var, training = running_statistics(module)
    return batch_norm(
        input,
        running_mean,
        running_var,
        module.weight,
        module.bias,
        training,
        momentum,
        module.eps,
    )


_native_2d = NativeLayer(torch.nn.BatchNorm2d, scriptable=False)


@_native_2d.drop_in
class BatchNorm2d(torch.nn.BatchNorm2d, metaclass=ABCMeta):
    """`torch.nn.BatchNorm2d` on cnnext's kernels: same arguments, buffers, errors and results.

    Shapes: input (N, C, H, W); see `cnnext.functional.batch_norm`. TorchScript compiles native's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if _native_2d.cls.forward is not _native_2d.forward:
            return _native_2d.call_replaced("forward", self, input)
        return _forward_of_module(self, input)


_native_1d = NativeLayer(torch.nn.BatchNorm1d, scriptable=False)


@_native_1d.drop_in
class BatchNorm1d(torch.nn.BatchNorm1d, metaclass=ABCMeta):
    """`torch.nn.BatchNorm1d` on cnnext's kernels: same arguments, buffers, errors and results.

    Shapes: input (N, C) or (N, C, L); see `cnnext.functional.batch_norm`. TorchScript compiles
    native's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if _native_1d.cls.forward is not _native_1d.forward:
            return _native_1d.call_replaced("forward", self, input)
        return _forward_of_module(self, input)


_CUDA = CudaRule("native", "cuDNN and ATen move as many bytes", has_kernels=False)

BATCH_NORM = declare(
    Operator(
        name="batch_norm",
        function=batch_norm,
        native=native_batch_norm,
        module=BatchNorm2d,
        autograd=BatchNormFunction,
        raw=("batch_norm", "batch_norm_backward", "batch_norm_backward_", "batch_norm_forward"),
        kernels="batch_norm",
        optional=4,
        check=check,
        compiled=in_graph,
        recorded=recorded,
        direct=computed,
        cuda=_CUDA,
    )
)
BATCH_NORM_1D = declare(Operator("BatchNorm1d", module=BatchNorm1d, cuda=_CUDA))

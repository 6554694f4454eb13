"""Where a call goes: to our kernels, or to ATen because it asks for something they do not do.

ATen's answer is the same, only not faster; the user hears about it once per operator and reason
(`NativeFallbackWarning`), and with `CNNEXT_STRICT=1` in the environment it is an error.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad
from torch.fx import Proxy
from torch.nn import Parameter

from cnnext.runtime import library
from cnnext.runtime.cuda_backend import chosen, has_kernels
from cnnext.runtime.flags import current, is_strict
from cnnext.runtime.operator import Operator

_KERNEL_DTYPES = frozenset((torch.float32, torch.float64))
_CUDA_KERNEL_DTYPES = _KERNEL_DTYPES | {torch.float16, torch.bfloat16}
_PLAIN_TYPES = frozenset((Tensor, Parameter))

# Bound once: every call of an operator asks these, and a small one takes about two microseconds.
_is_any_autocast_enabled = torch._C._is_any_autocast_enabled
_are_transforms_active = torch._C._are_functorch_transforms_active
_is_grad_enabled = torch.is_grad_enabled
_is_recording = torch.jit.is_tracing  # type: ignore[attr-defined]
_strided = torch.strided

# True where TorchScript compiles a module, whose forward then has to be native's.
is_scripting = torch.jit.is_scripting  # type: ignore[attr-defined]

# Reasons that are never said: ATen rejects the first two, the others are the user's or our choice.
_NOT_A_TENSOR = "an operand is not a tensor"
_SEVERAL_DEVICES = "the operands are on different devices"
_CHOSEN = "native PyTorch is the backend chosen for CUDA"
_ONNX = "ONNX knows no kernels of ours"
FASTER_NATIVELY = "native PyTorch is faster"
_SILENT = frozenset((_NOT_A_TENSOR, _SEVERAL_DEVICES, _CHOSEN, _ONNX, FASTER_NATIVELY))
# No fallback either: torch.fx records the call of our function, which computes when the graph runs.
_SYMBOLIC = "torch.fx is tracing"
_noticed: set[tuple[str, str]] = set()


class NativeFallbackWarning(UserWarning):
    """An operator of cnnext was computed by native PyTorch; the message says why."""


def fallback_reason(operator: Operator, operands: tuple[Any, ...]) -> str | None:
    """The reason why ATen has to compute this on these operands, or None if our kernels can.

    What is not a tensor at all is also for ATen: to reject.
    """
    for index, operand in enumerate(operands):
        if type(operand) not in _PLAIN_TYPES:
            if operand is None and index >= len(operands) - operator.optional:
                continue
            if not _is_as_plain(operand):
                if not hasattr(operand, "__torch_function__"):
                    return _NOT_A_TENSOR
                if isinstance(operand, Proxy):
                    return _SYMBOLIC
                return f"{type(operand).__name__} is not a plain tensor"
        kernel_dtypes = _KERNEL_DTYPES
        if not operand.is_cpu:
            kernel_dtypes = _CUDA_KERNEL_DTYPES
            if operands[0].is_cpu:
                return _SEVERAL_DEVICES
            if index == 0:  # asked once: the others are where it is
                if any(
                    other is not None and getattr(other, "device", None) != operand.device
                    for other in operands
                ):
                    return _SEVERAL_DEVICES
                if (reason := _why_not_on_device(operator.name, operand)) is not None:
                    return reason
        if operand.dtype not in kernel_dtypes:
            return f"there are no kernels for {operand.dtype}"
        if operand.layout is not _strided:
            return f"there are no kernels for {operand.layout}"
        if operand.is_nested:
            return "there are no kernels for nested tensors"
    if (reason := mode_reason(operands[0])) is not None:
        return reason
    return None if type(operands[0]) in _PLAIN_TYPES else recording_reason()  # as an exporter's are


def mode_reason(operand: Tensor) -> str | None:
    """The reason why ATen has to compute everything on this operand's device now, or None."""
    if _is_any_autocast_enabled() and torch.is_autocast_enabled(operand.device.type):
        return "autocast is on"
    if _are_transforms_active():
        return "a torch.func transform is active"
    if forward_ad._current_level >= 0:
        return "forward-mode automatic differentiation is active"
    return recording_reason() if _is_recording() else None


def recording_reason() -> str | None:
    """Why a recorder of calls, such as torch.jit.trace, needs ATen's, or None if none is active.

    Ask this before reading the operands' shapes, which torch.jit.trace would record.
    """
    if torch.compiler.is_exporting():
        return _ONNX if torch.onnx.is_in_onnx_export() else None
    if not _is_recording():
        return None
    return _ONNX if torch.onnx.is_in_onnx_export() else "torch.jit.trace is recording"


def _why_not_on_device(op: str, operand: Tensor) -> str | None:
    """The reason why our kernels do not compute `op` where this operand is, or None."""
    if not operand.is_cuda:
        return f"there are no kernels for device type '{operand.device.type}'"
    if current().cuda_backend == "native" or not has_kernels(op):
        return _CHOSEN
    if (missing := library.why_no_cuda_on(operand.device.index)) is not None:
        return f"there are no CUDA kernels ({missing})"
    return _CHOSEN if chosen(op) == "native" else None


def is_plain(operand: Any) -> bool:
    """Whether our operators work on this as they do on a strided tensor."""
    plain = type(operand) in _PLAIN_TYPES or _is_as_plain(operand)
    return plain and operand.layout is _strided and not operand.is_nested


def _is_as_plain(operand: Any) -> bool:
    """Whether our operators work on this as on a plain tensor, although its type is another.

    Such are all tensors under torch.compile or torch.export, fake ones (our operators know the
    shapes of what they do), and subclasses that leave every call to torch.
    """
    if torch.compiler.is_compiling():
        return isinstance(operand, Tensor)
    kind = type(operand)
    return kind is FakeTensor or (
        isinstance(operand, Tensor)
        and kind.__torch_function__ is Parameter.__torch_function__
        and kind.__torch_dispatch__ is Parameter.__torch_dispatch__
    )


def call_native(operator: Operator, reason: str, *args: Any) -> Any:
    """What the operator's native counterpart returns, said aloud the first time."""
    if reason is _SYMBOLIC:
        function: Any = operator.function
        return Proxy.__torch_function__(function, (Proxy,), args)
    return call_instead(operator.name, reason, operator.native, *args)


def call_instead(name: str, reason: str, native: Callable[..., Any] | None, *args: Any) -> Any:
    """`native(*args)` instead of what cnnext has by that name, said aloud the first time."""
    assert native is not None
    if reason in _SILENT or torch.compiler.is_compiling():
        return native(*args)
    if is_strict():
        raise RuntimeError(f"cnnext.{name}: {reason}, and CNNEXT_STRICT forbids native PyTorch")
    result = native(*args)
    if (name, reason) not in _noticed:
        _noticed.add((name, reason))
        warnings.warn(
            f"cnnext.{name} uses native PyTorch: {reason}",
            NativeFallbackWarning,
            stacklevel=stack_level_of_caller(),
        )
    return result


def stack_level_of_caller() -> int:
    """The `stacklevel` that makes a warning of our caller point at the code that uses cnnext."""
    level = 1
    frame = inspect.currentframe()
    while frame is not None and (frame := frame.f_back) is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("cnnext.", "torch.nn.modules.")):
            return level
        level += 1
    return level


def gradient_needed(*operands: Tensor | None) -> bool:
    """Whether autograd has to record an operator on these operands."""
    if _is_grad_enabled():
        for operand in operands:
            if operand is not None and operand.requires_grad:
                return True
    return False

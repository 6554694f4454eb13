"""The property: a call of cnnext does what native PyTorch does, to within the numerics contract."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cnnext.testing import kernels
from cnnext.testing.errors import GRADIENT_TOLERANCE, assert_bitwise_equal, gradient_error
from cnnext.testing.specs import SPECS
from tests.fuzz.calls import VIEWS, Call
from tests.ops.support import (
    CNNEXT,
    NATIVE,
    assert_agrees,
    order_in_memory,
    positive_gradient,
    use_threads,
)

#: If there are fewer sums, all may cancel to nearly zero, where no relative error is small.
ENOUGH = 64

#: Then sums are compared without cancellation, and what a cell makes of sums, which is of the
#: order of one, to within that much of one.
CELL_TOLERANCE = 1e-5

#: The root of the mean square error of what is normalised, which is of the order of one: elements
#: share the errors of statistics, which count 300 times where all values are alike.
NORM_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-11}

#: What cnnext computes itself, if all operands are of the same.
COMPUTED = ("float32", "float64")

#: What native computes from memory that it did not write, now and then, and not twice alike.
HALVES = ("float16", "bfloat16")


class Results(NamedTuple):
    outputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...] = ()  # of the operands that want one
    second: tuple[Tensor, ...] = ()  # the gradients of those, of operands and seeds


def is_beyond_native(call: Call) -> bool:
    """Whether native PyTorch may go outside of its memory, or fails by accident.

    There is nothing to compare with then; what cnnext does instead is for the operators' tests.
    """
    shapes = [None if operand is None else operand.shape for operand in call.operands]
    if call.op.endswith("_cell"):  # vectors among matrices
        matrices = shapes[: max(SPECS[call.op].weights) + 1]
        return any(shape is None or len(shape) != 2 for shape in matrices)
    if call.op == "max_pool2d" and shapes[0] is not None:  # windows with nothing inside the image
        dilation = call.options.get("dilation", 1)
        steps = dilation if isinstance(dilation, list) else [dilation]
        smallest = min(shapes[0][-2:], default=0)
        return any(isinstance(step, int) and step > smallest for step in steps)
    return False


def outcome(library: Any, call: Call, dtype: torch.dtype | None = None) -> Results | Exception:
    """What the call gives, or raises; `dtype` converts its operands first."""
    operands: list[Tensor | None] = []
    for spec, tensor in zip(call.operands, call.build(), strict=True):
        if tensor is not None and dtype is not None:
            tensor = tensor.to(dtype)
        grad = spec is not None and spec.grad
        operands.append(tensor.requires_grad_() if tensor is not None and grad else tensor)
    try:
        return _differentiated(call, operands, lambda o: call.apply(library, o))
    except Exception as error:
        return error


def _differentiated(
    call: Call, operands: list[Any], apply: Callable[[list[Any]], tuple[Tensor, ...]]
) -> Results:
    outputs = apply(operands)
    leaves = [o for o in operands if o is not None and o.requires_grad]
    recorded = [output for output in outputs if output.requires_grad]
    if call.order == 0 or not recorded:
        return Results(outputs)
    seeds = [VIEWS[call.gradient](positive_gradient(output)) for output in recorded]
    if call.order == 1:
        return Results(outputs, torch.autograd.grad(recorded, leaves, seeds))
    seeds = [seed.requires_grad_() for seed in seeds]
    first = torch.autograd.grad(recorded, leaves, seeds, create_graph=True)
    again = [gradient for gradient in first if gradient.requires_grad]
    if not again:
        return Results(outputs, first)
    wanted = [*leaves, *seeds]
    second = torch.autograd.grad(
        again, wanted, [positive_gradient(g) for g in again], allow_unused=True
    )
    zeros = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, second, strict=True)]
    return Results(outputs, first, tuple(zeros))


def _ours(call: Call) -> Results | Exception:
    """Our results, from the kernel that the call names if it applies."""
    if call.kernel is not None:
        with kernels.use_kernel(*call.kernel):
            result = outcome(CNNEXT, call)
        if not (isinstance(result, RuntimeError) and "does not apply to" in str(result)):
            return result
    return outcome(CNNEXT, call)


def check(call: Call) -> None:
    """Fails unless cnnext returns what native returns, or raises the type that native raises."""
    if is_beyond_native(call):
        return
    with warnings.catch_warnings(), use_threads(call.threads):
        warnings.simplefilter("ignore")
        _check(call)


def _check(call: Call) -> None:
    native = outcome(NATIVE, call)
    results = SPECS[call.op].results
    if isinstance(native, Results) and results in ("sums", "averages") and _is_small(native):
        call = call.positive()
        native = outcome(NATIVE, call)
    ours = _ours(call)
    if isinstance(native, Exception) or isinstance(ours, Exception):
        assert type(ours) is type(native), f"cnnext: {ours!r}; native: {native!r}"
        return
    for mine, theirs in zip(ours.outputs, native.outputs, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        assert order_in_memory(mine) == order_in_memory(theirs), "strides"
        assert mine.requires_grad == theirs.requires_grad
    dtypes = {operand.dtype for operand in call.operands if operand is not None}
    if not dtypes.isdisjoint(HALVES):
        return
    exact = len(dtypes) > 1 or not dtypes.issubset(COMPUTED)
    reference = native if exact else outcome(NATIVE, call, torch.float64)
    assert isinstance(reference, Results), reference
    for part in ("outputs", "gradients"):
        parts = [getattr(result, part) for result in (ours, native, reference)]
        for index, (mine, theirs, wide) in enumerate(zip(*parts, strict=True)):
            what = f"{part}[{index}]"
            if exact or SPECS[call.op].exact or (results == "selected" and part == "outputs"):
                _assert_same(mine, theirs, what)
            elif call.op == "batch_norm":
                _assert_normalised(mine, wide, what)
            elif not _is_close_to_one(call, mine, wide):
                assert_agrees(mine, theirs, wide, what=what)
    assert len(ours.second) == len(native.second)
    error = gradient_error(ours.second, reference.second)
    assert error <= GRADIENT_TOLERANCE, f"second derivatives are off by {error:.1e}"


def _assert_same(ours: Tensor, native: Tensor, what: str) -> None:
    pair = [t.resolve_conj().resolve_neg() for t in (ours, native)]
    if native.is_complex():
        pair = [torch.view_as_real(t) for t in pair]
    assert_bitwise_equal(*pair, what=what)


def _assert_normalised(ours: Tensor, reference: Tensor, what: str) -> None:
    if ours.numel() == 0:
        return
    error, size = (t.square().mean().sqrt() for t in (ours.double() - reference, reference))
    limit = NORM_TOLERANCES[ours.dtype] * max(1.0, size.item())
    assert error <= limit, f"{what} is off by {error:.1e}"


def _is_small(results: Results) -> bool:
    return any(result.numel() < ENOUGH for result in (*results.outputs, *results.gradients))


def _is_close_to_one(call: Call, ours: Tensor, reference: Tensor) -> bool:
    """Whether this is a cell's result of few elements, whose error is small compared with one."""
    if not call.op.endswith("_cell") or ours.numel() >= ENOUGH or ours.shape != reference.shape:
        return False
    error = (ours.double() - reference).abs()
    return bool((error <= CELL_TOLERANCE * reference.abs().clamp(min=1)).all())

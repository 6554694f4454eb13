"""What the CUDA tests ask of results: exact sums of integers, and bounded errors of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from cnnext.testing.cases import Terms
from cnnext.testing.errors import assert_bitwise_equal, measure
from tests.cuda.devices import Device
from tests.ops.support import Problem, Tensors, generator_for, order_in_memory, seed_gradient

# In which sums of a dtype are added up.
_ACCUMULATORS = {torch.float64: torch.float64}


def integers_like(t: Tensor) -> Tensor:
    """Integers from -4 to 4 of the tensor's shape, dtype and strides."""
    values = torch.randint(-4, 5, t.shape, generator=generator_for("integers", tuple(t.shape)))
    return torch.empty_like(t).copy_(values)


def with_integers(problem: Problem) -> Problem:
    """The same call on integers, whose sums are exact in whatever order they are added."""
    return replace(problem.mapped(integers_like), seed=integers_like)


def passes(device: Device, problem: Problem) -> Iterator[tuple[Tensors, Tensors, Tensors]]:
    """First the outputs, then the gradients: ours, native's, and the reference's."""
    yield device.outputs(problem), problem.native_outputs, problem.reference_outputs
    yield device.gradients(problem), problem.native_gradients, problem.reference_gradients


def check_exact(device: Device, problem: Problem, dtype: torch.dtype) -> None:
    """Outputs and gradients of integers are those of float64, rounded to `dtype` once."""
    problem = with_integers(problem.to(dtype))
    for ours, natives, references in passes(device, problem):
        for i, (result, reference) in enumerate(zip(ours, references, strict=True)):
            assert result.dtype == dtype
            assert_bitwise_equal(result + 0, reference.to(dtype) + 0, what=f"tensor {i}")
        assert order_in_memory(ours[0]) == order_in_memory(natives[0])
    # A weight's gradient has the order of the weight, which spares the optimizer a copy.
    for gradient, operand in zip(ours[1:], problem.operands[1:], strict=True):
        if operand.is_contiguous() or operand.is_contiguous(memory_format=torch.channels_last):
            assert order_in_memory(gradient) == order_in_memory(operand)


def assert_same(ours: Tensor, native: Tensor) -> None:
    """Equal in every bit, except the bits of NaN, which ATen itself changes in 16-bit floats."""
    assert torch.equal(ours.isnan(), native.isnan())
    assert_bitwise_equal(*(t.masked_fill(t.isnan(), 0) for t in (ours, native)))


def check_rounding(device: Device, problem: Problem, dtype: torch.dtype, terms: Terms) -> None:
    """Errors of outputs and gradients stay below what sums of so many terms can lose.

    A sum of n products, each of them and each partial sum rounded, is within n units of the sum of
    their sizes; the result is rounded once more (Higham, "Accuracy and Stability of Numerical
    Algorithms", section 3.1).
    """
    problem = replace(problem.to(dtype), seed=lambda y: seed_gradient(y).to(dtype).to(y.dtype))
    sizes = replace(
        problem.to(torch.float64).mapped(torch.abs), seed=lambda y: problem.seed(y).abs()
    )
    sums_of_sizes = (sizes.reference_outputs, sizes.reference_gradients)
    unit = torch.finfo(_ACCUMULATORS.get(dtype, torch.float32)).eps / 2
    for (ours, _, references), totals, counts in zip(
        passes(device, problem), sums_of_sizes, terms, strict=True
    ):
        for result, reference, total, count in zip(ours, references, totals, counts, strict=True):
            bound = (count + 2) * unit * total + torch.finfo(dtype).eps / 2 * reference.abs()
            bound += torch.finfo(dtype).smallest_normal  # what is smaller is rounded more coarsely
            error = (result.double() - reference).abs()
            worst = (error / bound).max().item() if error.numel() else 0.0
            assert worst <= 1, f"{worst:.2f} times the bound"


def check_near(device: Device, problem: Problem, dtype: torch.dtype) -> None:
    """Twice native's error, and four roundings of the largest value."""
    problem = problem.to(dtype)
    for ours, natives, references in passes(device, problem):
        for result, native, reference in zip(ours, natives, references, strict=True):
            assert result.dtype == dtype
            slack = 4 * torch.finfo(dtype).eps * reference.abs().max().item()
            assert measure(result, reference).max <= 2 * measure(native, reference).max + slack


def check_deterministic(device: Device, problem: Problem) -> None:
    """The same bits twice."""
    for compute in (device.outputs, device.gradients):
        first, second = compute(problem), compute(problem)
        for one, other in zip(first, second, strict=True):
            assert_bitwise_equal(one, other)

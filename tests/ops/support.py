"""What the operator tests share: problems and their right answers, kernels by name, layouts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import cnnext.functional
from cnnext.testing import kernels
from cnnext.testing.errors import (
    assert_bitwise_equal,
    assert_contract,
    make_input,
    measure,
)
from tests.conftest import run_seed

Tensors = tuple[Tensor, ...]

NATIVE = SimpleNamespace(
    conv2d=torch.nn.functional.conv2d,
    max_pool2d=torch.nn.functional.max_pool2d,
    relu=torch.nn.functional.relu,
    linear=torch.nn.functional.linear,
    lstm_cell=torch.lstm_cell,
)
CNNEXT = cnnext.functional

DTYPES = (torch.float32, torch.float64)
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}

# Roundings random-walk: two sums of 4096 terms in different orders are that many units apart.
_DOUBLE_LIMIT = math.sqrt(4096) * torch.finfo(torch.float64).eps


def generator_for(*names: object) -> torch.Generator:
    """A source of random numbers that belongs to these names (and to the seed of the run)."""
    seed = run_seed() ^ zlib.crc32(" ".join(map(str, names)).encode())
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------------- problems


@dataclass(frozen=True)
class Problem:
    """A call of an operator, `apply(library, operands)`, for native PyTorch and for cnnext.

    `apply` returns a tuple of outputs; an operand may be None.
    """

    apply: Callable[[Any, Sequence[Any]], Tensors]
    operands: tuple[Tensor | None, ...]

    @property
    def dtype(self) -> torch.dtype:
        assert self.operands[0] is not None
        return self.operands[0].dtype

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Problem:
        """The same call with every operand changed."""
        operands = tuple(None if t is None else change(t) for t in self.operands)
        return replace(self, operands=operands)

    def to(self, dtype: torch.dtype) -> Problem:
        return self.mapped(lambda operand: operand.to(dtype))

    def mapped_images(self, change: Callable[[Tensor], Tensor]) -> Problem:
        """The same call with its images and filters changed."""
        return self.mapped(lambda operand: change(operand) if operand.dim() == 4 else operand)

    def in_layout(self, layout: str) -> Problem:
        """The same call with its images and filters in that memory layout."""
        return self.mapped_images(lambda t: t.contiguous(memory_format=LAYOUTS[layout]))

    def outputs(self, library: Any) -> Tensors:
        with torch.no_grad():
            return self.apply(library, self.operands)

    def gradients(
        self, library: Any, *wanted: int, seed: Callable[[Tensor], Tensor] | None = None
    ) -> Tensors:
        """The gradients of the operands at those places, of all by default.

        `seed` makes the gradient of each output; by default it is `seed_gradient`.
        """
        places = wanted or tuple(
            i for i, operand in enumerate(self.operands) if operand is not None
        )
        leaves = [
            None if operand is None else operand.detach().requires_grad_(i in places)
            for i, operand in enumerate(self.operands)
        ]
        outputs = self.apply(library, leaves)
        seeds = [(seed or seed_gradient)(output) for output in outputs]
        return torch.autograd.grad(outputs, [leaves[i] for i in places], seeds)

    # The right answers, computed once however many kernels are compared with them.

    @cached_property
    def native_outputs(self) -> Tensors:
        return self.outputs(NATIVE)

    @cached_property
    def native_gradients(self) -> Tensors:
        return self.gradients(NATIVE)

    @cached_property
    def reference_outputs(self) -> Tensors:
        return self.to(torch.float64).outputs(NATIVE)

    @cached_property
    def reference_gradients(self) -> Tensors:
        return self.to(torch.float64).gradients(NATIVE)

    def check_outputs(self, ours: Tensors, what: str = "output") -> None:
        assert len(ours) == len(self.native_outputs)
        answers = zip(ours, self.native_outputs, self.reference_outputs, strict=True)
        for index, (result, native, reference) in enumerate(answers):
            assert_agrees(result, native, reference, what=f"{what} {index}")

    def check_gradients(self, ours: Tensors, *places: int, what: str = "gradient") -> None:
        answers = zip(self.native_gradients, self.reference_gradients, strict=True)
        expected = dict(enumerate(answers))
        for place, result in zip(places or expected, ours, strict=True):
            assert_agrees(result, *expected[place], what=f"{what} {place}")


def seed_gradient(output: Tensor) -> Tensor:
    """A normal gradient that belongs to this shape, in the layout of the output."""
    shape = tuple(output.shape)
    values = make_input("normal", shape, generator_for("gradient", shape), output.dtype)
    return torch.empty_like(output).copy_(values)


def expanded_one(output: Tensor) -> Tensor:
    """The gradient of `output.sum()`, whose strides are all zero."""
    return torch.ones((), dtype=output.dtype).expand_as(output)


def check_deterministic(problem: Problem) -> None:
    """The same bits from the same operands, in both directions."""
    for compute in (problem.outputs, problem.gradients):
        for first, second in zip(compute(CNNEXT), compute(CNNEXT), strict=True):
            assert_bitwise_equal(second, first)


def check_derivatives(problem: Problem) -> None:
    """First and second derivatives are those of the function, by finite differences."""
    leaves = problem.to(torch.float64).operands
    places = [i for i, operand in enumerate(leaves) if operand is not None]
    inputs = [leaves[i].detach().requires_grad_() for i in places]

    def function(*values: Tensor) -> Tensors:
        operands = list(leaves)
        for place, value in zip(places, values, strict=True):
            operands[place] = value
        return problem.apply(CNNEXT, operands)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def assert_agrees(ours: Tensor, native: Tensor, reference64: Tensor, *, what: str) -> None:
    """float32 keeps the numerics contract; float64 agrees to within the order of summation."""
    assert ours.dtype == native.dtype, what
    if ours.dtype == torch.float32:
        assert_contract(ours, native, reference64, what=what)
        return
    error = measure(ours, reference64).relative
    assert error <= _DOUBLE_LIMIT, f"{what}: error {error:.2e} of the largest value"


# ------------------------------------------------------------------------------------ kernels


def kernel_cases(
    op: str,
    direction: str,
    cases: Sequence[Any],
    large_cases: Sequence[Any] = (),
    may_apply: Callable[[str, Any], bool] = lambda kernel, case: True,
) -> list[Any]:
    """Parameters (kernel, case): every registered kernel of a direction on every case.

    The large cases are not for the reference kernels, which would take seconds. A kernel that this
    process may not run is a single, skipped parameter. `may_apply(kernel, case)` leaves out what
    would be skipped anyway.
    """
    isas = kernels.built_isas()
    active = kernels.active_isa()
    params = []
    for kernel in kernels.registry(op):
        if kernel.direction != direction:
            continue
        if isas.index(kernel.isa) > isas.index(active):
            skip = pytest.mark.skip(f"{kernel.isa} is above the active ISA, {active}")
            params.append(pytest.param(kernel.name, cases[0], id=kernel.name, marks=skip))
            continue
        more = () if "reference" in kernel.name else large_cases
        params += [
            pytest.param(kernel.name, case, id=f"{kernel.name}-{case}")
            for case in (*cases, *more)
            if may_apply(kernel.name, case)
        ]
    return params


def dtype_of(kernel: str) -> torch.dtype:
    """The dtype in a kernel's name."""
    return torch.float64 if "_f64" in kernel else torch.float32


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Within, torch and cnnext compute with that many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def only_kernel(op: str, name: str) -> Iterator[None]:
    """Within, `op` runs that kernel; the test is skipped if it does not apply to the shape."""
    with kernels.use_kernel(op, name):
        try:
            yield
        except RuntimeError as error:
            if "does not apply" not in str(error):
                raise
            pytest.skip("the kernel does not apply to this shape")


# -------------------------------------------------------------------------------------- views


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(-1, -2).contiguous().transpose(-1, -2)


def _sliced(t: Tensor) -> Tensor:
    """Every other element of the last axis, from an offset, among rows of a larger tensor."""
    larger = t.new_full((*t.shape[:-1], 2 * t.shape[-1] + 3), torch.nan)
    view = larger[..., 3::2]
    return view.copy_(t)


def _offset(t: Tensor) -> Tensor:
    """Dense, but one element away from where the memory allocator aligns."""
    memory = t.new_full((t.numel() + 1,), torch.nan)
    return memory[1:].view(t.shape).copy_(t)


def _cropped(t: Tensor) -> Tensor:
    """The inside of a larger tensor, in all axes."""
    larger = t.new_full([size + 2 for size in t.shape], torch.nan)
    return larger[tuple(slice(1, -1) for _ in t.shape)].copy_(t)


def _negated(t: Tensor) -> Tensor:
    """A view that torch negates only when it is read."""
    return torch.complex(t, -t).conj().imag


#: The same values in other memory: name -> what makes a view equal to its argument.
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda t: t.contiguous(),
    "transposed": _transposed,
    "sliced": _sliced,
    "offset": _offset,
    "cropped": _cropped,
    "negated": _negated,
    "first_axis_last": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
}

#: More of them for images and filters.
VIEWS_4D: dict[str, Callable[[Tensor], Tensor]] = {
    **VIEWS,
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "channels_last_cropped": lambda t: _cropped(t.movedim(1, -1)).movedim(-1, 1),
    "rows_first": lambda t: t.permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3),
}

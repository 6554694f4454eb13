"""What the operator tests share: problems and their right answers, kernels by name, layouts."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._pytree import tree_flatten

import cnnext.functional
from cnnext.testing import kernels
from cnnext.testing.comparisons import NATIVE as NATIVE
from cnnext.testing.errors import assert_bitwise_equal, assert_contract, make_input, measure
from tests.conftest import run_seed

Tensors = tuple[Tensor, ...]

CNNEXT = cnnext.functional

DTYPES = (torch.float32, torch.float64)
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}

# A gradient in float64 that is 0 but for rounding is smaller.
_VANISHING = 1e-9

# Roundings random-walk: two sums of 4096 terms in different orders are that many units apart.
_UNITS = math.sqrt(4096)


def generator_for(*names: object) -> torch.Generator:
    """A source of random numbers that belongs to these names (and to the seed of the run)."""
    seed = run_seed() ^ zlib.crc32(" ".join(map(str, names)).encode())
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------------- problems


def seed_gradient(output: Tensor) -> Tensor:
    """A normal gradient that belongs to this shape, in the layout of the output.

    The same numbers in every dtype: a rounded gradient is not an error of an operator.
    """
    shape = tuple(output.shape)
    values = make_input("normal", shape, generator_for("gradient", shape), torch.float32)
    return torch.empty_like(output).copy_(values)


def expanded_one(output: Tensor) -> Tensor:
    """The gradient of `output.sum()`, whose strides are all zero."""
    return torch.ones((), dtype=output.dtype).expand_as(output)


def positive_gradient(output: Tensor) -> Tensor:
    return seed_gradient(output).abs_()


@dataclass(frozen=True)
class Problem:
    """A call of an operator, `apply(library, operands)`, for native PyTorch and for cnnext.

    `apply` returns a tuple of outputs; an operand may be None; `seed` makes an output's gradient.
    """

    apply: Callable[[Any, Sequence[Any]], Tensors]
    operands: tuple[Any, ...]
    seed: Callable[[Tensor], Tensor] = seed_gradient

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Problem:
        """The same call with every operand changed."""
        operands = tuple(None if t is None else change(t) for t in self.operands)
        return replace(self, operands=operands)

    def to(self, dtype: torch.dtype) -> Problem:
        return self.mapped(lambda operand: operand.to(dtype))

    def positive(self) -> Problem:
        """The same call without cancellation, for outputs so few that all could be near zero."""
        return replace(self.mapped(torch.abs), seed=positive_gradient)

    def mapped_at(self, place: int, change: Callable[[Tensor], Any]) -> Problem:
        """The same call with the operand at that place changed."""
        before, (operand, *behind) = self.operands[:place], self.operands[place:]
        return replace(self, operands=(*before, change(operand), *behind))

    def mapped_images(self, change: Callable[[Tensor], Tensor]) -> Problem:
        """The same call with its images and filters changed."""
        return self.mapped(lambda operand: change(operand) if operand.dim() == 4 else operand)

    def only(self, *outputs: int) -> Problem:
        """The same call, of which only these outputs are asked for: the others have no gradient."""

        def apply(library: Any, operands: Sequence[Any]) -> Tensors:
            results = self.apply(library, operands)
            return tuple(results[i] for i in outputs)

        return Problem(apply, self.operands, self.seed)

    def in_layout(self, layout: str) -> Problem:
        """The same call with its images and filters in that memory layout."""
        return self.mapped_images(lambda t: t.contiguous(memory_format=LAYOUTS[layout]))

    @property
    def places(self) -> tuple[int, ...]:
        """Where the operands are that are tensors."""
        return tuple(i for i, operand in enumerate(self.operands) if operand is not None)

    def leaves(self, *wanted: int) -> list[Any]:
        """The operands as new leaves; those at the wanted places require a gradient."""
        return [
            None if operand is None else operand.detach().requires_grad_(i in wanted)
            for i, operand in enumerate(self.operands)
        ]

    def outputs(self, library: Any) -> Tensors:
        with torch.no_grad():
            return self.apply(library, self.operands)

    def gradients(self, library: Any, *wanted: int) -> Tensors:
        """The gradients of the operands at those places, of all by default."""
        places = wanted or self.places
        leaves = self.leaves(*places)
        outputs = self.apply(library, leaves)
        seeds = [self.seed(output) for output in outputs]
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
        """`ours` are the gradients of the operands at those places, of all by default."""
        answers = zip(self.native_gradients, self.reference_gradients, strict=True)
        expected = dict(zip(self.places, answers, strict=True))
        for place, result in zip(places or self.places, ours, strict=True):
            assert_agrees(result, *expected[place], what=f"{what} {place}")


def check_everything(problem: Problem, *, image_strides: bool = True) -> None:
    """Outputs without and with autograd, gradients, and the strides of outputs, images, filters."""
    ours = problem.outputs(CNNEXT)
    problem.check_outputs(ours)
    recorded, natively = (
        problem.apply(library, problem.leaves(*problem.places)) for library in (CNNEXT, NATIVE)
    )
    for result, with_graph in zip(ours, recorded, strict=True):
        assert_bitwise_equal(with_graph, result, what="output with a graph")
    # Native may have another kernel where nothing is recorded.
    for result, native in zip(
        (*ours, *recorded), (*problem.native_outputs, *natively), strict=True
    ):
        if native.numel() > 0:
            assert result.stride() == native.stride()
    gradients = problem.gradients(CNNEXT)
    problem.check_gradients(gradients)
    if image_strides and gradients[0].dim() == 4 and gradients[0].numel() > 0:
        assert gradients[0].stride() == problem.native_gradients[0].stride()
    for result, native in zip(gradients[1:], problem.native_gradients[1:], strict=True):
        if result.dim() == 4:
            assert order_in_memory(result) == order_in_memory(native)


def check_sum_gradient(problem: Problem) -> None:
    """The gradients of `output.sum()`, whose own gradient is expanded: all its strides are 0."""
    problem = replace(problem, seed=expanded_one)
    gradients = problem.gradients(CNNEXT)
    if problem.reference_gradients[0].norm() > _VANISHING or gradients[0].numel() == 0:
        problem.check_gradients(gradients)
    else:  # the sum of what is normalised is a constant
        terms = problem.native_outputs[0].numel()
        assert_same_sums(gradients, problem.native_gradients, terms=terms)


def check_deterministic(problem: Problem) -> None:
    """The same bits from the same operands, in both directions."""
    for compute in (problem.outputs, problem.gradients):
        for first, second in zip(compute(CNNEXT), compute(CNNEXT), strict=True):
            assert_bitwise_equal(second, first)


def check_derivatives(problem: Problem) -> None:
    """First and second derivatives are those of the function, by finite differences."""
    leaves = problem.to(torch.float64).operands
    places = problem.places
    inputs = [leaves[i].detach().requires_grad_() for i in places]

    def function(*values: Tensor) -> Tensors:
        operands = list(leaves)
        for place, value in zip(places, values, strict=True):
            operands[place] = value
        return problem.apply(CNNEXT, operands)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def check_exact(problem: Problem) -> None:
    """Outputs and gradients are native's in every bit, and in the same order in memory."""
    recorded = problem.apply(CNNEXT, problem.leaves(*problem.places))
    for ours in (problem.outputs(CNNEXT), recorded):
        for result, native in zip(ours, problem.native_outputs, strict=True):
            assert_bitwise_equal(result, native, what="output")
            assert order_in_memory(result) == order_in_memory(native)
    for result, native in zip(problem.gradients(CNNEXT), problem.native_gradients, strict=True):
        assert_bitwise_equal(result, native, what="gradient")
        assert order_in_memory(result) == order_in_memory(native)


def check_operator_error(name: str, arguments: tuple[Any, ...], mentioned: str = "") -> None:
    """The raw operator, called past the checks of the function, raises and does not crash."""
    with pytest.raises(RuntimeError) as error:
        getattr(torch.ops.cnnext, name)(*arguments)
    assert mentioned in str(error.value)


def order_in_memory(t: Tensor) -> list[int]:
    """The strides that mean something: of sizes above one, of a tensor with elements."""
    if t.numel() == 0:
        return []
    return [stride for size, stride in zip(t.shape, t.stride(), strict=True) if size > 1]


def assert_agrees(ours: Tensor, native: Tensor, reference64: Tensor, *, what: str) -> None:
    """float32 keeps the numerics contract; float64 agrees to within the order of summation."""
    assert ours.dtype == native.dtype, what
    if ours.dtype == torch.float32:
        assert_contract(ours, native, reference64, what=what)
        return
    error = measure(ours, reference64).relative
    limit = _UNITS * torch.finfo(torch.float64).eps
    assert error <= limit, f"{what}: error {error:.2e} of the largest value"


def assert_same_sums(ours: Any, expected: Any, *, terms: float = 0.0) -> None:
    """Equal but for the order of summation, in structures of tensors alike.

    For results without a reference in float64 (see `assert_agrees`): of other graphs, or of calls
    that are not ours to repeat. Errors are measured relative to the largest sum, or to
    `terms` if the sums may all cancel. Results that are not
    floating-point, and 8-bit floats, are equal.
    """
    ours, structure = tree_flatten(ours)
    expected, expected_structure = tree_flatten(expected)
    assert structure == expected_structure
    for index, (result, value) in enumerate(zip(ours, expected, strict=True)):
        limit = 0.0
        if isinstance(value, Tensor) and value.is_floating_point() and value.element_size() > 1:
            finite = value.detach()[value.isfinite()].abs()
            largest = max(finite.max().item() if finite.numel() > 0 else 0.0, terms)
            limit = _UNITS * torch.finfo(value.dtype).eps * largest
        message = functools.partial("{1} (item {0})".format, index)
        torch.testing.assert_close(
            result, value, rtol=0, atol=limit, equal_nan=True, check_stride=False, msg=message
        )


# ------------------------------------------------------------------------------------ kernels


#: How many cases each kernel has here: torch adds nothing to what tests/kernels shows of all.
_FEW = 5


def kernel_cases(
    op: str,
    direction: str,
    cases: Sequence[Any],
    large_cases: Sequence[Any] = (),
    may_apply: Callable[[str, Any], bool] = lambda kernel, case: True,
) -> list[Any]:
    """Parameters (kernel, case): every registered kernel of a direction on a few of the cases.

    From the first that `may_apply` to the last. The large cases are not for the reference kernels,
    which would take seconds. A kernel that this process may not run is a single, skipped parameter.
    """
    isas = kernels.built_isas()
    active = kernels.active_isa()
    params = []
    for kernel in kernels.registry(op):
        if kernel.direction != direction:
            continue
        if isas.index(kernel.isa) > isas.index(active):
            skip = pytest.mark.skip(f"{kernel.isa} is above the active ISA, {active}")
            marks = (skip, pytest.mark.by_name)
            params.append(pytest.param(kernel.name, cases[0], id=kernel.name, marks=marks))
            continue
        more = () if "reference" in kernel.name else large_cases
        applicable = [case for case in (*cases, *more) if may_apply(kernel.name, case)]
        few = {round(i * (len(applicable) - 1) / (_FEW - 1)) for i in range(_FEW)}
        for case in (applicable[i] for i in sorted(few) if applicable):
            name = f"{kernel.name}-{case}"
            params.append(pytest.param(kernel.name, case, id=name, marks=pytest.mark.by_name))
    return params


def results_by_kernel(
    op: str, direction: str, compute: Callable[[], Tensors]
) -> Iterator[tuple[str, Tensors]]:
    """What each kernel of its highest ISA, other than the references, computes; those that apply.

    For shapes on which the right answer takes longer than all of them. Lower ISAs have the same
    kernels with shorter vectors, and seconds are too long to see that again.
    """
    names = []
    registry = [kernel for kernel in kernels.registry(op) if "reference" not in kernel.name]
    listed = {kernel.name for kernel in registry}
    for kernel in registry:
        higher = kernel.name.replace(kernel.isa, kernels.active_isa())
        if kernel.direction != direction or (higher != kernel.name and higher in listed):
            continue
        with kernels.use_kernel(op, kernel.name):
            try:
                result = compute()
            except RuntimeError as error:
                if "does not apply" not in str(error):
                    raise
                continue
        names.append(kernel.name)
        yield kernel.name, result
    assert names


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
    other = max(t.dim() - 2, 0)
    return t.transpose(other, -1).contiguous().transpose(other, -1)


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

LAYOUTS_4D = {name: VIEWS_4D[name] for name in ("dense", "channels_last")}

"""What every kernel is run on: problems, which know whether its results are right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from bindings import Array, Kernel, Shape, _kernels, registry
from numerics import INPUT_KINDS, assert_within, generator, sum_tolerance

Results = dict[str, Array]


class Problem(ABC):
    """A shape that kernels of an operator are run on, and several draws of operands.

    Its text is part of the names of tests.
    """

    #: Larger than the kernels' blocks of each dimension, so that they go through more than one. The
    #: reference kernels have no blocks, and are slow.
    large = False
    #: Whether tests that do not need every size have this one.
    representative = True

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """The fields that a kernel applies to, or does not."""

    def suits(self, kernel: Kernel) -> bool:
        return kernel.applies(self.shape) and not (self.large and kernel.is_reference)

    @abstractmethod
    def draws(self, kernel: Kernel) -> Iterable[tuple[str, Any]]:
        """Operands, each with the name of their kind; what is optional differs in the first two."""

    @abstractmethod
    def run(self, kernel: Kernel, operands: Any, *, threads: int) -> Results:
        """The results by name."""

    @abstractmethod
    def check(self, kernel: Kernel, operands: Any, results: Results, what: str) -> None:
        """Fails, naming `what`, unless the results are right."""


def each_kernel(
    operator: str, *directions: str, problems: Sequence[Problem], algorithm: str = ""
) -> list[Any]:
    """Parameters (kernel, problem) for every kernel and every problem that suits it.

    Those that may have their weights packed ahead come a second time, with them. Kernels that this
    machine cannot run are skipped, and a kernel that nothing suits is an error: none goes untested.
    With an `algorithm` the list is of the kernels <operator>_<algorithm>... alone.
    """
    params = []
    for kernel in registry(operator, *directions):
        if not kernel.name.startswith(f"{operator}_{algorithm}"):
            continue
        if _kernels.sanitizer == "thread" and kernel.isa not in ("baseline", _kernels.active_isa()):
            continue  # all ISAs share out their tasks and memory alike
        if not kernel.is_usable:
            skip = pytest.mark.skip(reason=f"needs {kernel.isa}, which is not active")
            params.append(pytest.param(kernel, None, id=kernel.name, marks=skip))
            continue
        suitable = [problem for problem in problems if problem.suits(kernel)]
        assert suitable, f"no problem suits {kernel.name}"
        params += [pytest.param(kernel, p, id=f"{kernel.name}-{p}") for p in suitable]
        params += [
            pytest.param(kernel._replace(packed=True), p, id=f"{kernel.name}-packed-{p}")
            for p in suitable
            if kernel.packs_optionally(p.shape)
        ]
    return params


def with_gaps(a: Array, distance: int) -> Array:
    """The rows of an array, the lines along its last axis, with NaN between them: so many elements
    from one to the next, or 0 for no gaps."""
    rows = a.reshape(-1, a.shape[-1])
    distance = distance or a.shape[-1]
    apart = np.full((len(rows), distance), np.nan, a.dtype)
    apart[:, : a.shape[-1]] = rows
    return apart.ravel()[: apart.size - distance + a.shape[-1]]


def without_gaps(flat: Array, columns: int, distance: int) -> Array:
    """The inverse for a kernel's result, of which the rest must be as memory was before."""
    distance = distance or columns
    end = np.full((distance - columns) * flat.itemsize, UNTOUCHED, np.uint8).view(flat.dtype)
    rows = np.append(flat, end).reshape(-1, distance)
    between = np.ascontiguousarray(rows[:, columns:])
    assert (between.view(np.uint8) == UNTOUCHED).all(), "the kernel wrote between its rows"
    return np.ascontiguousarray(rows[:, :columns])


#: The bytes of memory that nobody wrote: kPoison of csrc/common/numpy/memory.h.
UNTOUCHED = 0xFF


@dataclass(frozen=True, eq=False)
class Operands:
    """What an operator whose results are sums of products reads, and its gradients do.

    Attributes:
        w: None, where there are no weights.
        b: None, where there is no bias.
        filters: how the weights of a convolution lie in memory.
        residual: what the epilogue adds to y, or None.
        epilogue: its other fields; empty for that of a bias alone.
        x_pixel: forward, how far apart the pixels of x lie, if they are a range of the channels of
            a larger buffer; 0 if x is dense. A pixel of linear is a row.
        y_pixel: that of y.
        prologue: of x, as csrc/common/numpy/prologue.h takes it; empty for none.
    """

    x: Array
    w: Any
    b: Any
    dy: Array
    filters: str = "oihw"
    residual: Any = None
    epilogue: Mapping[str, Any] = field(default_factory=dict)
    x_pixel: int = 0
    y_pixel: int = 0
    prologue: Mapping[str, Any] = field(default_factory=dict)

    def map(self, change: Callable[[Array], Array]) -> Operands:
        arrays = {name: getattr(self, name) for name in ("x", "w", "b", "dy", "residual")}
        return replace(self, **{k: change(a) for k, a in arrays.items() if a is not None})

    def in_larger_buffers(self, x_gap: int, y_gap: int, residual_gap: int = 0) -> Operands:
        """The same with so many elements between the pixels of each; 0 leaves it dense."""
        c_in, c_out = self.x.shape[1], self.dy.shape[1]
        x_pixel, y_pixel, residual_pixel = (
            channels + gap if gap else 0
            for channels, gap in ((c_in, x_gap), (c_out, y_gap), (c_out, residual_gap))
        )
        epilogue = {**self.epilogue, "residual_pixel": residual_pixel}
        return replace(self, x_pixel=x_pixel, y_pixel=y_pixel, epilogue=epilogue)

    def options(self) -> dict[str, Any]:
        """How a kernel is told where x and y lie, unless they are dense, and its prologue."""
        names = ("x_pixel", "y_pixel", "prologue")
        return {name: given for name in names if (given := getattr(self, name))}

    def finish(self, pack: Callable[[Array], Array]) -> dict[str, Any]:
        """How a kernel is told its epilogue; pack() orders an array as y lies in memory."""
        if not self.epilogue:
            return {}
        residual = None
        if self.residual is not None:
            residual = with_gaps(pack(self.residual), self.epilogue.get("residual_pixel", 0))
        return {"residual": residual, "epilogue": self.epilogue}

    def read_by(self, direction: str) -> tuple[Any, ...]:
        """Those that a kernel of an operator with weights is given."""
        return {
            "forward": (self.x, self.w, self.b),
            "bwd_input": (self.dy, self.w),
            "bwd_weight": (self.dy, self.x),
        }[direction]


class Sums(Problem):
    """The results are sums of products, in each of which an operand has one part at most."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of x, y and, if there are weights, w."""

    @abstractmethod
    def exact(self, direction: str, operands: Operands) -> Array:
        """The contract's formula."""

    @abstractmethod
    def terms(self, direction: str) -> int:
        """The number of products that are added up, at most."""

    def limits(self, kernel: Kernel, tolerance: Array) -> Array:
        """How far off the kernel may be, where a plain sum may be off by the tolerance."""
        return tolerance

    def stored(self, result: Array, tolerance: Array) -> tuple[Array, Array]:
        """What kernels store of a result, and how far off that may be."""
        return result, tolerance

    def draws(self, kernel: Kernel) -> Iterable[tuple[str, Operands]]:
        return draw_sums(self, kernel.direction, kernel.dtype)

    def check(self, kernel: Kernel, operands: Operands, results: Results, what: str) -> None:
        expected, tolerance = reference(self, kernel.direction, operands)
        (result,) = results.values()
        assert_within(result, *self.stored(expected, self.limits(kernel, tolerance)), what)


@cache
def draw_sums(problem: Sums, direction: str, dtype: str) -> list[tuple[str, Operands]]:
    draws = []
    for i, (kind, activations) in enumerate(INPUT_KINDS.items()):
        rng = generator(problem, kind, dtype)
        x, dy = (activations(rng, problem.shapes[name]) for name in "xy")
        w_shape = problem.shapes.get("w")
        w = rng.standard_normal(w_shape) if w_shape else None
        has_bias = direction == "forward" and i % 2 == 0
        b = rng.standard_normal(w_shape[0]) if w_shape and has_bias else None
        operands = Operands(x, w, b, dy, ("oihw", "ohwi")[i % 2]).map(lambda a: a.astype(dtype))
        draws.append((f"{kind}, {'with' if has_bias else 'no'} bias", operands))
    if problem.representative:
        _, operands = draws[0]
        source = "dy" if direction == "bwd_input" else "x"
        special = getattr(operands, source).copy()
        values = np.array([np.nan, np.inf, -np.inf])[: special.size]
        special.flat[rng.choice(special.size, len(values), replace=False)] = values
        draws.append((f"NaN and Inf in {source}", replace(operands, **{source: special})))
    return draws


@cache
def reference(problem: Sums, direction: str, operands: Operands) -> tuple[Array, Array]:
    """The exact result, and how far from it a sum of so many terms may be."""
    with np.errstate(invalid="ignore"):
        wide = operands.map(lambda a: a.astype(np.float64))
        magnitude = np.abs(problem.exact(direction, wide.map(np.abs)))
        tolerance = sum_tolerance(magnitude, problem.terms(direction), str(operands.x.dtype))
        return problem.exact(direction, wide), tolerance

"""What tests, benchmarks and the self-test know of an operator: one `OperatorSpec`.

Each has a file of its own in `cnnext.testing.specs`, which lists them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cnnext.runtime.operator import OPERATORS, Operator
from cnnext.testing.cases import Case, ElementwiseCase, Shape
from cnnext.testing.errors import make_input

Tensors = tuple[Tensor, ...]

#: Native PyTorch's functions by our names.
NATIVE = SimpleNamespace(**{op.name: op.native for op in OPERATORS.values() if op.native})

#: The shapes of ordinary operands.
IMAGES = (2, 3, 6, 5)
ROWS, STATE = (2, 3), (2, 4)
SEQUENCES = (2, 5, 3)


@dataclass(frozen=True)
class Layer:
    """A module by its name, and the shapes of what it is called with.

    Attributes:
        arguments, options: what constructs it.
        states: whether all inputs but the first are one tuple.
    """

    name: str
    arguments: tuple[Any, ...]
    shapes: tuple[Shape, ...]
    options: dict[str, Any] = field(default_factory=dict)
    states: bool = False

    def build(self, layers: Any, **options: Any) -> nn.Module:
        """The same parameters whatever the library."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return getattr(layers, self.name)(*self.arguments, **self.options, **options)


@dataclass(frozen=True)
class Drawn:
    """In a table of arguments, a normal tensor of this shape."""

    shape: Shape

    def __init__(self, *shape: int) -> None:
        object.__setattr__(self, "shape", shape)


@dataclass(frozen=True)
class Arguments:
    """All arguments of an ordinary call, by name; tests make one invalid at a time.

    Attributes:
        varied: these are.
        fixed: these are not.
        build: makes the module that is called, where its name and its arguments do not.
    """

    varied: Mapping[str, Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[Any], nn.Module] | None = None

    def draw(self, randn: Callable[..., Tensor]) -> dict[str, Any]:
        """New values for all of them."""

        def value_of(argument: Any) -> Any:
            if isinstance(argument, Drawn):
                return randn(*argument.shape)
            return argument.clone() if isinstance(argument, Tensor) else argument

        arguments = {**self.varied, **self.fixed}
        return {name: value_of(argument) for name, argument in arguments.items()}


@dataclass(frozen=True, eq=False)
class OperatorSpec:
    """How an operator is tested and measured.

    Attributes:
        operator: its declaration.
        results: what they are, which decides how exact they must be: "selected" from the operands
            (and multiplied by a number at most), "sums" of products of them, "averages" of them,
            or "computed" from sums.
        in_layouts: whether its time depends on the memory layout of images.
        weights: the places of the operands that are weights; those behind them are biases.
        states: the names of those operands, behind the first, that are given as one tuple ``hx``.
        has_graphs: whether graphs hold its raw operators, rather than native's.
        runs: what the names of the kernels that compute it begin with, its own first.
        cases: those that speed is measured on.
        edge_cases: small ones that only correctness is checked on.
        gpu_cases: more of them, for the edges of a GPU's tiles and blocks of threads.
        typical_cases: an ordinary one and some with options: every view of every operand, every
            graph.
        corner_cases: sizes of one, which have no order in memory, and of zero.
        tiny_cases: for finite differences.
        arrange: makes what the function takes of the operands and its other arguments, by position
            and by name, where that is more.
        smooth: makes an input at which the operator is smooth.
        function_of: the function of a case, `f(library, operands)`, where it is more than a call of
            a function of `torch.nn.functional`.
        shapes, options: the operands of an ordinary call, and what follows them.
        layers: its modules, as they are ordinarily built and called.
        calls, modules, raw: all arguments of ordinary calls of the function, of the modules and of
            the operators in `torch.ops.cnnext`, by what is called. Where one is called in several
            ways, a suffix behind "-" tells them apart.
    """

    operator: Operator
    results: Literal["selected", "sums", "averages", "computed"] = "computed"
    in_layouts: bool = False
    weights: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    has_graphs: bool = True
    runs: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    edge_cases: tuple[Case, ...] = ()
    gpu_cases: tuple[Case, ...] = ()
    typical_cases: tuple[Case, ...] = ()
    corner_cases: tuple[Case, ...] = ()
    tiny_cases: tuple[Case, ...] = ()
    arrange: Callable[..., tuple[Any, ...]] | None = None
    smooth: Callable[[Tensor], Tensor] = torch.clone
    function_of: Callable[[Any], Callable[[Any, Tensors], Any]] | None = None
    shapes: tuple[Shape, ...] = ()
    options: tuple[Any, ...] = ()
    layers: tuple[Layer, ...] = ()
    calls: Mapping[str, Arguments] = field(default_factory=dict)
    modules: Mapping[str, Arguments] = field(default_factory=dict)
    raw: Mapping[str, Arguments] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What files, commands and stored rows call it."""
        return self.operator.name.lower()

    @property
    def kernels(self) -> tuple[str, ...]:
        """What the names of the kernels that compute it begin with, the most of its work first."""
        own = () if self.operator.kernels is None else (self.operator.kernels,)
        return self.runs or own

    @property
    def elementwise(self) -> bool:
        """Whether each element of the result is computed from one of the operand."""
        return any(isinstance(case, ElementwiseCase) for case in self.cases)

    @property
    def in_place(self) -> bool:
        """Whether the function overwrites its operand where that is asked for."""
        function = self.operator.function
        return function is not None and "inplace" in signature(function).parameters

    @property
    def exact(self) -> bool:
        """Whether gradients, too, are native's in every bit: each is one product at most."""
        return self.elementwise and self.results == "selected"

    def apply(self, library: Any, operands: Sequence[Any], *options: Any, **named: Any) -> Any:
        """What the function of a library makes of the operands."""
        first, *rest = self.arranged(operands, *options, **named)
        if self.states:
            count = len(self.states)
            rest = [tuple(rest[:count]), *rest[count:]]
        return getattr(library, self.operator.name)(first, *rest, *options, **named)

    def arranged(self, operands: Sequence[Any], *options: Any, **named: Any) -> Sequence[Any]:
        """What the function takes of the operands, before its other arguments."""
        return operands if self.arrange is None else self.arrange(operands, options, named)

    def call(self, library: Any, *operands: Any) -> Any:
        """The ordinary call, on operands of `shapes`."""
        return self.apply(library, operands, *self.options)

    def function(self, case: Case) -> Callable[[Any, Tensors], Tensors]:
        """A case as a function of a library and of operands; it returns all outputs."""
        if self.function_of is not None:
            return self.function_of(case)
        options = case.kwargs()
        name = self.operator.name
        has_states, is_arranged = bool(self.states), self.arrange is not None

        def function(library: Any, operands: Tensors) -> Tensors:
            if has_states:
                return tuple(self.apply(library, operands, **options))
            if is_arranged:
                return (self.apply(library, operands, **options),)
            # As little as can be beside the call, which may take two microseconds.
            return (getattr(library, name)(*operands, **options),)

        return function

    def operands(
        self,
        case: Case,
        generator: torch.Generator,
        kind: str = "normal",
        dtype: torch.dtype = torch.float32,
    ) -> Tensors:
        """Draws a case's operands; only the first is of another kind than normal.

        Weights are scaled so that the output has the input's variance.
        """

        def draw(place: int, shape: Shape | None) -> Any:
            if shape is None:
                return None
            values = make_input("normal" if place else kind, shape, generator, dtype)
            if place in self.weights:
                values = values / math.sqrt(max(1, math.prod(shape[1:])))
            return values

        return tuple(draw(place, shape) for place, shape in enumerate(case.operand_shapes))

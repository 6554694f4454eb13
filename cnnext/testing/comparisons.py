"""One case as a comparison: the same work by native PyTorch and by cnnext, checked equal first.

Tests, ``benchmarks/`` and ``python -m cnnext {bench,env}`` all take their calls from here.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import cnnext.functional
import cnnext.nn
from cnnext.runtime.operator import OPERATORS
from cnnext.testing.cases import (
    BENCHMARK_CASES,
    Case,
    Conv2dCase,
    LinearCase,
    LSTMCase,
    LSTMCellCase,
    PoolCase,
    ReluCase,
)
from cnnext.testing.errors import assert_bitwise_equal, assert_contract, make_input

MODES = ("forward", "backward", "training")

Tensors = tuple[Tensor, ...]
Call = Callable[[], Tensors]

#: Native PyTorch's functions by our names.
NATIVE = SimpleNamespace(**{op.name: op.native for op in OPERATORS.values() if op.native})

# Forward results that are selected from the input, not computed.
_EXACT = ("adaptive_max_pool2d", "max_pool2d", "relu")

# Operators whose time depends on the memory layout of an image.
_LAYOUT_DEPENDENT = (
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "max_pool2d",
)
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Comparison:
    """One operator on one case in one mode (``forward``, ``backward`` or ``training``).

    ``calls`` holds a call for each of ``implementations(op)``. Each returns the same tensors: the
    outputs (forward), the gradients of all operands (backward), or both (training).
    """

    op: str
    case: Case
    mode: str
    calls: dict[str, Call]
    reference: Call

    def check(self) -> None:
        """Fail with an AssertionError unless cnnext's results are right.

        Selected values must equal native PyTorch's in every bit; computed ones keep the numerics
        contract, against float64 and native PyTorch in the same layout.
        """
        exact = self.op in _EXACT and self.mode == "forward"
        references = None if exact else self.reference()
        for name, call in self.calls.items():
            if not name.startswith("cnnext"):
                continue
            natives = self.calls[name.replace("cnnext", "torch", 1)]()
            for index, (result, native) in enumerate(zip(call(), natives, strict=True)):
                what = f"{self.op} {self.case}, {self.mode}, {name}, tensor {index}"
                if references is None:
                    assert_bitwise_equal(result, native, what=what)
                else:
                    assert_contract(result, native, references[index], what=what)


@dataclass(frozen=True)
class Problem:
    """Operands, and the operator as a function of a library and of operands."""

    operands: Tensors
    apply: Callable[[Any, Tensors], Tensors]


def implementations(op: str) -> tuple[str, ...]:
    """Names of an operator's implementations: native PyTorch first, by layout where it matters."""
    if op in _LAYOUT_DEPENDENT:
        return tuple(f"{name} {layout}" for name in ("torch", "cnnext") for layout in LAYOUTS)
    return ("torch", "cnnext")


def comparison(op: str, case: Case, mode: str = "forward", *, seed: int = 0) -> Comparison:
    """Set up one operator on one case.

    Args:
        op: a key of ``cases.BENCHMARK_CASES``.
        case: a case of that operator.
        mode: one of ``MODES``.
        seed: of the random operands.

    Raises:
        ValueError: the operator or the mode is unknown.
    """
    if op not in PROBLEMS:
        raise ValueError(f"op must be one of {', '.join(PROBLEMS)}, got {op!r}")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    generator = torch.Generator().manual_seed(seed)
    problem = PROBLEMS[op](case, generator)
    grads = tuple(
        make_input("normal", output.shape, generator)
        for output in problem.apply(NATIVE, problem.operands)
    )

    def call(library: Any, operands: Tensors) -> Call:
        return call_in(mode, lambda values: problem.apply(library, values), operands, grads)

    def reference() -> Tensors:
        doubles = tuple(operand.double() for operand in problem.operands)
        return call(NATIVE, doubles)()

    calls = {}
    for name in implementations(op):
        package, _, layout = name.partition(" ")
        library = NATIVE if package == "torch" else cnnext.functional
        calls[name] = call(library, _in_layout(problem.operands, layout or "NCHW"))
    return Comparison(op, case, mode, calls, reference)


def select(op: str | None = None, pattern: str = "*") -> Iterator[tuple[str, Case]]:
    """The benchmark cases whose operator is ``op`` and whose name matches a shell pattern."""
    for name, cases in BENCHMARK_CASES.items():
        if op in (None, name):
            for case in cases:
                if fnmatch.fnmatchcase(case.name, pattern):
                    yield name, case


def call_in(
    mode: str, apply: Callable[[Tensors], Tensors], operands: Tensors, grads: Tensors
) -> Call:
    """The call that a mode times: ``apply`` alone, its gradients alone, or both."""
    if mode == "forward":
        return lambda: apply(operands)
    leaves = tuple(operand.detach().requires_grad_() for operand in operands)

    def grads_for(outputs: Tensors) -> Tensors:
        return tuple(
            torch.empty_like(output).copy_(grad)
            for output, grad in zip(outputs, grads, strict=True)
        )

    if mode == "backward":
        outputs = apply(leaves)
        seeds = grads_for(outputs)
        return lambda: torch.autograd.grad(outputs, leaves, seeds, retain_graph=True)
    seeds = grads_for(apply(leaves))

    def train() -> Tensors:
        outputs = apply(leaves)
        return (*outputs, *torch.autograd.grad(outputs, leaves, seeds))

    return train


def _in_layout(operands: Tensors, layout: str) -> Tensors:
    """The operands with their images and filters in a memory layout."""
    return tuple(
        operand.contiguous(memory_format=LAYOUTS[layout]) if operand.ndim == 4 else operand
        for operand in operands
    )


def _weight(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Normal weights, scaled so that the output has the input's variance."""
    fan_in = math.prod(shape[1:])
    return make_input("normal", shape, generator) / max(fan_in, 1) ** 0.5


def _bias(size: int, generator: torch.Generator) -> Tensor:
    return make_input("normal", (size,), generator)


def _conv2d(case: Conv2dCase, generator: torch.Generator) -> Problem:
    operands = (
        make_input("normal", case.input_shape, generator),
        _weight(case.weight_shape, generator),
        _bias(case.c_out, generator),
    )
    kwargs = case.kwargs()
    return Problem(operands, lambda library, values: (library.conv2d(*values, **kwargs),))


def _pool(op: str) -> Callable[[Any, torch.Generator], Problem]:
    def problem(case: PoolCase, generator: torch.Generator) -> Problem:
        operands = (make_input("normal", case.input_shape, generator),)
        kwargs = case.kwargs()
        return Problem(operands, lambda library, values: (getattr(library, op)(*values, **kwargs),))

    return problem


def _relu(case: ReluCase, generator: torch.Generator) -> Problem:
    operands = (make_input("normal", case.input_shape, generator),)
    return Problem(operands, lambda library, values: (library.relu(*values),))


def _linear(case: LinearCase, generator: torch.Generator) -> Problem:
    operands = (
        make_input("normal", case.input_shape, generator),
        _weight(case.weight_shape, generator),
        _bias(case.n, generator),
    )
    return Problem(operands, lambda library, values: (library.linear(*values),))


def _lstm_cell(case: LSTMCellCase, generator: torch.Generator) -> Problem:
    state = (case.batch, case.hidden)
    gates = 4 * case.hidden
    operands = (
        make_input("normal", case.input_shape, generator),
        make_input("normal", state, generator),
        make_input("normal", state, generator),
        _weight((gates, case.input), generator),
        _weight((gates, case.hidden), generator),
        _bias(gates, generator),
        _bias(gates, generator),
    )

    def apply(library: Any, values: Tensors) -> Tensors:
        x, h, c, *weights = values
        return tuple(library.lstm_cell(x, (h, c), *weights))

    return Problem(operands, apply)


def _lstm(case: LSTMCase, generator: torch.Generator) -> Problem:
    """The modules, called with weights of our own: `torch.lstm` is not a function of torch.nn."""
    state, gates = (1, case.batch, case.hidden), 4 * case.hidden
    operands = (
        make_input("normal", case.input_shape, generator),
        make_input("normal", state, generator),
        make_input("normal", state, generator),
        _weight((gates, case.input), generator),
        _weight((gates, case.hidden), generator),
        _bias(gates, generator),
        _bias(gates, generator),
    )
    ours, native = (lib.LSTM(case.input, case.hidden) for lib in (cnnext.nn, torch.nn))

    def apply(library: Any, values: Tensors) -> Tensors:
        x, h, c, *weights = values
        layer = native if library is NATIVE else ours
        layer._flat_weights = weights  # what both compute with
        output, (h_n, c_n) = layer(x, (h, c))
        return output, h_n, c_n

    return Problem(operands, apply)


PROBLEMS: dict[str, Callable[[Any, torch.Generator], Problem]] = {
    "conv2d": _conv2d,
    **{op: _pool(op) for op in BENCHMARK_CASES if "pool" in op},
    "relu": _relu,
    "linear": _linear,
    "lstm_cell": _lstm_cell,
    "lstm": _lstm,
}

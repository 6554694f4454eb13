"""Comparisons of single operators."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch

import cnnext.functional
from benchmarks.gpu.comparison import (
    Call,
    Comparison,
    Implementation,
    Tensors,
    Verdict,
    context_of,
    relative_error,
    tolerance,
    unit,
)
from benchmarks.gpu.tasks import Task, flags, operator_cases
from cnnext.testing import comparisons
from cnnext.testing.cases import Case, Conv2dCase, LSTMCellCase
from cnnext.testing.errors import make_input
from cnnext.testing.spec import NATIVE, OperatorSpec
from cnnext.testing.specs import SPECS

OPERATORS = tuple(operator_cases())

_FUSED = "cuDNN fused"

#: Copies of the operands: so many that they exceed the L2 cache twice, within this limit.
_MAX_COPIES = 64


def names(op: str, device: str) -> tuple[str, ...]:
    """An operator's implementations."""
    libraries = ["torch", "cnnext own"]
    if op == "conv2d_relu" and device == "cuda":
        libraries.insert(1, _FUSED)
    if not spec_of(op).in_layouts:
        return tuple(libraries)
    return tuple(f"{library} {layout}" for library in libraries for layout in comparisons.LAYOUTS)


def spec_of(op: str) -> OperatorSpec:
    return SPECS["conv2d" if op == "conv2d_relu" else op]


@functools.lru_cache(maxsize=1)
def _operands(op: str, case: Case) -> Tensors:
    return spec_of(op).operands(case, torch.Generator().manual_seed(0))


def _function(name: str, op: str, case: Any) -> Callable[[Tensors], Tensors]:
    """The operator as an implementation computes it."""
    library = cnnext.functional if name.startswith("cnnext") else NATIVE
    if op != "conv2d_relu":
        function = spec_of(op).function(case)
        return lambda values: function(library, values)
    kwargs = case.kwargs()
    if name.startswith(_FUSED):
        return lambda values: (torch.cudnn_convolution_relu(*values, **kwargs),)
    conv2d, relu = library.conv2d, library.relu
    return lambda values: (relu(conv2d(*values, **kwargs), inplace=True),)


def find_case(task: Task) -> Case:
    return next(case for case in operator_cases()[task.subject] if case.name == task.case)


def comparison(task: Task, device: str, l2_bytes: int, case: Case | None = None) -> Comparison:
    """Sets up a task; ``case`` instead of the one that the task names."""
    op, dtype = task.subject, getattr(torch, task.dtype)
    case = case or find_case(task)
    operands = tuple(t.to(device, dtype) for t in _operands(op, case))
    doubles = tuple(t.double() for t in operands)
    with torch.no_grad():
        outputs = _function("torch", op, case)(doubles)
    generator = torch.Generator().manual_seed(1)
    seeds = tuple(make_input("normal", y.shape, generator, dtype).to(device) for y in outputs)

    size = sum(t.numel() * t.element_size() for t in operands)
    copies = max(1, min(_MAX_COPIES, math.ceil(2 * l2_bytes / size)))

    def call(name: str, values: Tensors, grads: Tensors) -> Call:
        return comparisons.call_in(task.direction, _function(name, op, case), values, grads)

    def implementation(name: str) -> Implementation:
        layout = comparisons.LAYOUTS.get(name.split()[-1], torch.contiguous_format)

        def make() -> list[Call]:
            sets = [
                tuple(
                    t.clone(memory_format=layout if t.dim() == 4 else torch.contiguous_format)
                    for t in operands
                )
                for _ in range(copies)
            ]
            return [call(name, values, seeds) for values in sets]

        return Implementation(name, make, context_of(name))

    references = call("torch", doubles, tuple(t.double() for t in seeds))()
    exact = spec_of(op).results == "selected" and task.direction == "forward"
    limit = 0.0 if exact else _tolerance(op, case, dtype, outputs)
    return Comparison(
        tuple(map(implementation, names(op, device))),
        lambda results: Verdict(relative_error(results, references), limit),
        copies,
        size,
    )


def _tolerance(op: str, case: Case, dtype: torch.dtype, outputs: Tensors) -> float:
    if isinstance(case, Conv2dCase):
        taps = math.prod(case.weight_shape[1:])
        pixels = outputs[0].numel() // case.c_out
        terms = max(taps, pixels, case.c_out * case.k_h * case.k_w)
    elif isinstance(case, LSTMCellCase):
        terms = max(case.input + case.hidden, case.batch, 4 * case.hidden)
    else:
        terms = 1
    tf32 = flags()["conv" if op.startswith("conv2d") else "matmul"] == "tf32"
    return tolerance(unit(dtype, tf32), terms)

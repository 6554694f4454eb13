"""One case as a comparison: the same work by native PyTorch and by cnnext, checked equal first.

Tests, ``benchmarks/`` and ``python -m cnnext {bench,env}`` all take their calls from here.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

import cnnext.functional
from cnnext.testing.cases import Case
from cnnext.testing.errors import assert_bitwise_equal, assert_contract, make_input
from cnnext.testing.spec import NATIVE, Tensors
from cnnext.testing.specs import MEASURED

MODES = ("forward", "backward", "training")

Call = Callable[[], Tensors]

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
        exact = MEASURED[self.op].results == "selected" and self.mode == "forward"
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


def implementations(op: str) -> tuple[str, ...]:
    """Names of an operator's implementations: native PyTorch first, by layout where it matters."""
    if MEASURED[op].in_layouts:
        return tuple(f"{name} {layout}" for name in ("torch", "cnnext") for layout in LAYOUTS)
    return ("torch", "cnnext")


def comparison(op: str, case: Case, mode: str = "forward", *, seed: int = 0) -> Comparison:
    """Set up one operator on one case.

    Args:
        op: a key of ``specs.MEASURED``.
        case: a case of that operator.
        mode: one of ``MODES``.
        seed: of the random operands.

    Raises:
        ValueError: the operator or the mode is unknown.
    """
    if op not in MEASURED:
        raise ValueError(f"op must be one of {', '.join(MEASURED)}, got {op!r}")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    generator = torch.Generator().manual_seed(seed)
    spec = MEASURED[op]
    operands, function = spec.operands(case, generator), spec.function(case)
    grads = tuple(
        make_input("normal", output.shape, generator) for output in function(NATIVE, operands)
    )

    def call(library: object, values: Tensors) -> Call:
        return call_in(mode, lambda values: function(library, values), values, grads)

    def reference() -> Tensors:
        return call(NATIVE, tuple(operand.double() for operand in operands))()

    calls = {}
    for name in implementations(op):
        package, _, layout = name.partition(" ")
        library = NATIVE if package == "torch" else cnnext.functional
        calls[name] = call(library, _in_layout(operands, layout or "NCHW"))
    return Comparison(op, case, mode, calls, reference)


def select(op: str | None = None, pattern: str = "*") -> Iterator[tuple[str, Case]]:
    """The benchmark cases whose operator is ``op`` and whose name matches a shell pattern."""
    for name, spec in MEASURED.items():
        if op in (None, name):
            for case in spec.cases:
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

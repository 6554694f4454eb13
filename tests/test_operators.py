"""Every list that names operators holds what is declared, no less and no more.

A new operator is declared at the end of its file in cnnext.ops; what it has been left out of fails
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnext
from cnnext.runtime.operator import OPERATORS, Operator
from cnnext.testing import kernels
from cnnext.testing.specs import MEASURED, SPECS
from tests.fuzz import strategies
from tests.ops import calls
from tests.pytorch_integration import cases as integration_cases
from tests.upstream_suites.adversarial import calls as adversarial_calls

ROOT = Path(__file__).parents[1]

FUNCTIONS = {op.name for op in OPERATORS.values() if op.function is not None}
MODULES = {op.module.__name__ for op in OPERATORS.values() if op.module is not None}
RAW = {name for op in OPERATORS.values() for name in op.raw}
KERNELS = {op.kernels for op in OPERATORS.values() if op.kernels is not None}

# PyTorch's graphs hold these, with a gradient; <op>_forward computes the same.
FOR_GRAPHS = {name for name in RAW if f"{name}_forward" in RAW}


def library() -> list[str]:
    """The names of all raw operators."""
    return [
        name.removeprefix("cnnext::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("cnnext::")
    ]


def takes_tensors(name: str) -> bool:
    arguments = torch._C._get_schema(f"cnnext::{name}", "").arguments
    return any("Tensor" in str(argument.type) for argument in arguments)


#: What is listed, and what should be.
LISTS: dict[str, tuple[Callable[[], Collection[str]], set[str]]] = {
    "torch.ops.cnnext": (lambda: [name for name in library() if takes_tensors(name)], RAW),
    "functional": (lambda: cnnext.functional.__all__, FUNCTIONS),
    "autograd": (
        lambda: cnnext.autograd.__all__,
        {op.autograd.__name__ for op in OPERATORS.values() if op.autograd is not None},
    ),
    "kernels": (
        lambda: [name.removesuffix("_kernels") for name in library() if "_kernels" in name],
        KERNELS,
    ),
    "swapped": (lambda: [cls.__name__ for cls in cnnext.nn.SWAPPED], MODULES),
    "specs": (lambda: [spec.operator.name for spec in SPECS.values()], set(OPERATORS)),
    "contracts of kernels": (
        lambda: [
            name
            for path in ROOT.glob("csrc/*/*.h")
            for name in re.findall(r'kName = "(\w+)"', path.read_text())
        ],
        KERNELS,
    ),
    "small calls": (lambda: calls.OPS, FUNCTIONS),
    "tools of PyTorch, functions": (
        lambda: [op.name for op in integration_cases.OPERATORS],
        FUNCTIONS,
    ),
    "tools of PyTorch, layers": (
        lambda: [layer.name for layer in integration_cases.LAYERS],
        MODULES - {"Sequential"},
    ),
    "invalid arguments, functions": (
        lambda: {name.partition("-")[0] for name in adversarial_calls.FUNCTIONS},
        FUNCTIONS,
    ),
    "invalid arguments, modules": (
        lambda: {name.partition("-")[0] for name in adversarial_calls.MODULES},
        MODULES,
    ),
    "invalid arguments, raw operators": (lambda: list(adversarial_calls.RAW), RAW - FOR_GRAPHS),
    "fuzzing": (lambda: list(strategies.OPERATORS), FUNCTIONS),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_hold_what_is_declared(name: str) -> None:
    listed, declared = LISTS[name]
    found = list(listed())
    assert len(found) == len(set(found)), "named twice"
    assert set(found) == declared


@pytest.mark.parametrize("op", OPERATORS.values(), ids=lambda op: op.name)
def test_declaration(op: Operator) -> None:
    public: dict[str, Any] = {
        "function": (op.function, cnnext.functional, op.name),
        "module": (op.module, cnnext.nn, getattr(op.module, "__name__", "")),
        "autograd": (op.autograd, cnnext.autograd, getattr(op.autograd, "__name__", "")),
    }
    for declared, home, name in public.values():
        assert declared is None or getattr(home, name) is declared
    assert op.module is None or op.module.__bases__[0] is getattr(nn, op.module.__name__)
    assert (op.function is None) == (op.native is None)
    assert op.function is None or op.native.__name__ == op.name
    assert op.kernels is None or all(name.startswith(op.kernels) for name in op.raw)
    assert op.kernels is None or kernels.registry(op.kernels)


def test_raw_operators_belong_to_one() -> None:
    assert len(RAW) == sum(len(op.raw) for op in OPERATORS.values())


def test_all_kernels_are_measured() -> None:
    assert {name for spec in MEASURED.values() for name in spec.kernels} == KERNELS
    assert all(spec.edge_cases for spec in MEASURED.values())

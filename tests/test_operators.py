"""Every list that names operators holds what is declared, no less and no more.

A new operator is declared at the end of its file in cnnext.ops; what it has been left out of fails
here, and says its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnext
from cnnext.ops.without_kernels import WITHOUT_KERNELS
from cnnext.runtime.operator import OPERATORS, Operator
from cnnext.testing import kernels
from cnnext.testing.specs import MEASURED, SPECS
from tests.fuzz import strategies

ROOT = Path(__file__).parents[1]

FUNCTIONS = {op.name for op in OPERATORS.values() if op.function is not None}
MODULES = {op.module.__name__ for op in OPERATORS.values() if op.module is not None}
BY_NAME = {cls.__name__ for cls in WITHOUT_KERNELS}
OWN_MODULES = {op.own_module.__name__ for op in OPERATORS.values() if op.own_module is not None}
RAW = {name for op in OPERATORS.values() for name in op.raw}
KERNELS = {op.kernels for op in OPERATORS.values() if op.kernels is not None}

#: Kernels of which no operator of ours consists: an epilogue alone, and steps of plans.
STEPS = {"finish", "pad", "reorder", "resample", "scale", "shuffle", "softmax"}

#: Operators without CUDA kernels, which native computes there.
NATIVE_ON_CUDA = {"batch_norm", "conv_transpose2d", "dropout", "max_unpool2d", "roi_pool"}

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


def is_of_plans(name: str) -> bool:
    """Whether the raw operator is of whole networks: tests/optimization has them."""
    return name.startswith("plan_")


def function(op: str) -> Callable[..., Any] | None:
    return getattr(cnnext.functional, op, None)


def modules_in(namespace: Any) -> list[str]:
    """The names in a namespace that stand for modules of ours."""
    return [
        name
        for name, value in vars(namespace).items()
        if isinstance(value, type) and value.__module__.startswith("cnnext.ops")
    ]


def bound_to_numpy() -> Collection[str]:
    module = pytest.importorskip("_kernels")
    return [name for name, bindings in vars(module).items() if hasattr(bindings, "kernels")]


def emulated() -> Iterable[str]:
    """By families, whose headers name their operators, or one by one."""
    source = (ROOT / "tests/cuda_on_cpu/operators.cpp").read_text()
    for name in re.findall(r"(\w+)::define_operators\(m\)", source):
        contracts = "".join(path.read_text() for path in ROOT.glob(f"csrc/{name}/*.h"))
        named = re.findall(r'kName = "(\w+)"', contracts) or (name,)
        yield from (op for op in named if op not in NATIVE_ON_CUDA)


def named_in_readme() -> Collection[str]:
    """By the table of operators."""
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("| operator | function | module |")[2].partition("\n\n")[0]
    return re.findall(r"`(?:functional\.)?(\w+)`", table)


#: What is listed, and what should be.
LISTS: dict[str, tuple[Callable[[], Collection[str]], set[str]]] = {
    "torch.ops.cnnext": (
        lambda: [name for name in library() if takes_tensors(name) and not is_of_plans(name)],
        RAW,
    ),
    "cnnext.functional": (lambda: cnnext.functional.__all__, FUNCTIONS),
    "cnnext.nn.functional": (
        lambda: [op for op in FUNCTIONS if vars(cnnext.nn.functional).get(op) is function(op)],
        FUNCTIONS.intersection(vars(nn.functional)),
    ),
    "cnnext.nn": (lambda: modules_in(cnnext.nn), MODULES | OWN_MODULES | BY_NAME),
    "cnnext": (lambda: modules_in(cnnext), MODULES | OWN_MODULES | BY_NAME),
    "cnnext.autograd": (
        lambda: cnnext.autograd.__all__,
        {op.autograd.__name__ for op in OPERATORS.values() if op.autograd is not None},
    ),
    "kernel registries": (
        lambda: [name.removesuffix("_kernels") for name in library() if "_kernels" in name],
        KERNELS,
    ),
    "NumPy bindings": (bound_to_numpy, KERNELS | STEPS),
    "tests/cuda_on_cpu/operators.cpp": (
        lambda: list(emulated()),
        {
            op.name
            for op in OPERATORS.values()
            if op.raw and op.cuda and op.name not in NATIVE_ON_CUDA
        },
    ),
    "README.md": (named_in_readme, FUNCTIONS | MODULES | OWN_MODULES),
    "cnnext/testing/specs": (lambda: [spec.operator.name for spec in SPECS.values()], {*OPERATORS}),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_hold_what_is_declared(name: str) -> None:
    listed, declared = LISTS[name]
    found = list(listed())
    assert len(found) == len(set(found)), "named twice"
    missing, unknown = declared - set(found), set(found) - declared
    assert not missing, f"{name} lacks {', '.join(sorted(missing))}"
    assert not unknown, f"{name} has {', '.join(sorted(unknown))}, which no operator declares"


@pytest.mark.parametrize("op", OPERATORS.values(), ids=lambda op: op.name)
def test_declaration(op: Operator) -> None:
    public: dict[str, Any] = {
        "function": (op.function, cnnext.functional, op.name),
        "module": (op.module, cnnext.nn, getattr(op.module, "__name__", "")),
        "own_module": (op.own_module, cnnext.nn, getattr(op.own_module, "__name__", "")),
        "autograd": (op.autograd, cnnext.autograd, getattr(op.autograd, "__name__", "")),
    }
    for declared, home, name in public.values():
        assert declared is None or getattr(home, name) is declared
    assert op.module is None or op.module.__bases__[0] is getattr(nn, op.module.__name__)
    assert op.own_module is None or not hasattr(nn, op.own_module.__name__)
    assert (op.function is None) == (op.native is None)
    assert op.function is None or op.native.__name__ == op.name
    assert op.kernels is None or all(name.startswith(op.kernels) for name in op.raw)
    assert op.kernels is None or kernels.registry(op.kernels)


def called(subjects: Iterable[str]) -> set[str]:
    """What the subjects of ordinary calls are ways of calling."""
    return {subject.partition("-")[0] for subject in subjects}


@pytest.mark.parametrize("op", OPERATORS.values(), ids=lambda op: op.name)
def test_spec(op: Operator) -> None:
    spec = SPECS.get(op.name.lower())
    assert spec is not None, f"there is no cnnext/testing/specs/{op.name.lower()}.py"
    assert called(spec.calls) == ({op.name} if op.function else set())
    assert bool(spec.shapes) == (op.function is not None)
    assert set(spec.raw) == set(op.raw) - FOR_GRAPHS
    assert spec.edge_cases or not spec.cases  # of what is measured, the self-test runs small ones
    assert spec.gpu_cases or not op.raw or op.cuda is None or not op.cuda.has_kernels


@pytest.mark.parametrize("op", sorted(FUNCTIONS))
def test_fuzzing_knows_all_operands_and_options(op: str) -> None:
    known = SPECS[op].elementwise or op in vars(strategies)
    assert known, "it has no strategy in tests/fuzz/strategies.py"


def test_modules_are_in_specs() -> None:
    assert called(name for spec in SPECS.values() for name in spec.modules) == MODULES
    layers = {layer.name for spec in SPECS.values() for layer in spec.layers}
    # One runs what its layers run, the other is called with integers as well.
    assert layers == MODULES - {"Sequential", "MaxUnpool2d"}


def test_all_kernels_are_measured() -> None:
    assert {name for spec in MEASURED.values() for name in spec.kernels} == KERNELS


def test_raw_operators_belong_to_one() -> None:
    assert len(RAW) == sum(len(op.raw) for op in OPERATORS.values())

"""What looks at calls from outside: modes of torch, devices, profilers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    Operator,
    each_operator,
    each_operator_in_graphs,
    loss_of,
)


class Dispatched(TorchDispatchMode):
    """Remembers the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func._schema.name))
        return func(*args, **(kwargs or {}))


class Asked(TorchFunctionMode):
    """Remembers the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.functions.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("graph", (True, False), ids=("graph", "no_graph"))
@each_operator_in_graphs
def test_a_dispatch_mode_sees_our_operators(op: Operator, graph: bool) -> None:
    operands = op.leaves() if graph else op.operands()
    with Dispatched() as mode:
        outputs = op.call(CNNEXT, *operands)
    assert mode.names.count(f"cnnext::{op.raw_forward}") == 1
    assert_same_sums(outputs, op.call(NATIVE, *operands))
    assert outputs[0].requires_grad == graph
    if graph:
        assert type(outputs[0].grad_fn).__name__ == op.node
        with Dispatched() as mode:
            torch.autograd.grad(loss_of(outputs), operands)
        assert any(name.startswith("cnnext::") for name in mode.names)


@each_operator
def test_a_function_mode_changes_no_result(op: Operator) -> None:
    with Asked() as mode:
        outputs = op.call(CNNEXT, *op.operands())
    assert_same_sums(outputs, op.call(NATIVE, *op.operands()))
    assert getattr(torch.ops.cnnext, op.raw_forward).default in mode.functions


@each_operator
def test_a_device_context_is_not_in_the_way(op: Operator) -> None:
    operands = op.operands()
    with torch.device("cpu"):
        ours = op.call(CNNEXT, *operands)
    assert_same_sums(ours, op.call(NATIVE, *operands))


@pytest.mark.parametrize("direction", ("forward", "backward"))
@each_operator
def test_the_profiler_names_our_operators(op: Operator, direction: str) -> None:
    leaves = op.leaves()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        torch.autograd.grad(loss_of(op.call(CNNEXT, *leaves)), leaves)
    names = [event.key for event in profile.key_averages()]
    if direction == "forward":
        assert f"cnnext::{op.raw_forward}" in names
        first = next(e for e in profile.events() if e.name.startswith("cnnext::"))
        seen = [[size for size in shape if size > 1] for shape in first.input_shapes[:2]]
        assert list(leaves[0].shape) in seen  # behind the kind of cell, or as an image
    else:
        assert any(name.startswith(f"cnnext::{op.raw_backward}") for name in names)
        assert any("FunctionBackward" in name for name in names)

"""What is not about one operator: the registry, the selection, plans, and wrong arguments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bindings import (
    ISAS,
    MANY_THREADS,
    OPERATORS,
    THREADS,
    Array,
    Kernel,
    Shape,
    _kernels,
    registry,
)
from conv2d import Conv2d
from problems import PROBLEMS

CONV2D_1X1 = Conv2d("1x1", 2, 20, (8, 9), 20, (1, 1)).shape
CONV2D_3X3 = CONV2D_1X1 | {"k_h": 3, "k_w": 3}

KERNELS = [kernel for operator in OPERATORS for kernel in registry(operator)]
each = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    _kernels.set_isa_cap("")
    for operator in OPERATORS:
        _kernels.force_kernel(operator, "")


def shape_of(kernel: Kernel) -> Shape:
    """One that it applies to."""
    return next(problem.shape for problem in PROBLEMS[kernel.operator] if problem.suits(kernel))


def select(kernel: Kernel, shape: Shape, threads: int = 1) -> str:
    """What is chosen for the pass and type of the kernel."""
    return kernel.bindings.select(kernel.direction, kernel.dtype, threads=threads, **shape)


def test_names_say_what_a_kernel_is() -> None:
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS)
    for kernel in KERNELS:
        words = kernel.name.removeprefix(f"{kernel.operator}_").split("_")
        assert {"float32": "f32", "float64": "f64"}[kernel.dtype] in words, kernel
        assert kernel.isa in words or words[0] == "reference", kernel
        suffix = {"forward": "", "backward": "_bwd_f"}.get(kernel.direction, kernel.direction)
        assert suffix in kernel.name and (suffix or "_bwd_" not in kernel.name), kernel


def test_every_pass_has_a_kernel_for_any_machine_and_type() -> None:
    needed = {(k.operator, k.direction, dtype) for k in KERNELS for dtype in ("float32", "float64")}
    has = {(k.operator, k.direction, k.dtype) for k in KERNELS if k.isa == "baseline"}
    assert has == needed


@each
def test_the_choice_is_the_cheapest_that_is_usable(kernel: Kernel) -> None:
    shape = shape_of(kernel)
    rivals = [k for k in registry(kernel.operator, kernel.direction) if k.dtype == kernel.dtype]
    for threads in THREADS:
        chosen = select(kernel, shape, threads)
        costs = {k.name: k.bindings.cost(k.name, threads=threads, **shape) for k in rivals}
        assert costs[chosen] == min(costs[k.name] for k in rivals if k.is_usable)
        assert select(kernel, shape, threads) == chosen


@each
def test_a_forced_kernel_is_chosen_in_its_pass(kernel: Kernel) -> None:
    shape = shape_of(kernel)
    before = {other: select(other, shape) for other in registry(kernel.operator)}
    _kernels.force_kernel(kernel.operator, kernel.name)
    if not kernel.is_usable:
        with pytest.raises(RuntimeError, match=f"'{kernel.name}'.*does not apply"):
            select(kernel, shape)
        return
    for other, choice in before.items():
        same = (other.direction, other.dtype) == (kernel.direction, kernel.dtype)
        assert select(other, shape) == (kernel.name if same else choice)
    _kernels.force_kernel(kernel.operator, "")
    assert {other: select(other, shape) for other in before} == before


def test_a_forced_kernel_is_never_replaced() -> None:
    kernel = next(k for k in KERNELS if k.name == "conv2d_pointwise_f32_baseline")
    _kernels.force_kernel("conv2d", kernel.name)
    assert select(kernel, CONV2D_1X1) == kernel.name
    with pytest.raises(RuntimeError, match=f"'{kernel.name}'.*does not apply"):
        select(kernel, CONV2D_3X3)


@pytest.mark.parametrize("isa", ISAS)
def test_a_cap_lowers_the_isa(isa: str) -> None:
    active = _kernels.active_isa()
    assert ISAS.index(active) <= ISAS.index(_kernels.detected_isa())
    _kernels.set_isa_cap(isa)
    assert _kernels.active_isa() == min(isa, active, key=ISAS.index)
    for kernel in KERNELS:
        assert not select(kernel, shape_of(kernel)).endswith(ISAS[ISAS.index(isa) + 1 :])
    _kernels.set_isa_cap("")
    assert _kernels.active_isa() == active


def test_a_cap_must_be_an_isa() -> None:
    with pytest.raises(RuntimeError, match="'sse9' is not one of baseline, avx2, avx512"):
        _kernels.set_isa_cap("sse9")


@each
def test_plans_are_sane_and_repeatable(kernel: Kernel) -> None:
    if not kernel.is_usable:
        pytest.skip(f"needs {kernel.isa}, which is not active")
    for threads in (*THREADS, *MANY_THREADS):
        plan = kernel.bindings.plan(kernel.name, threads=threads, **shape_of(kernel))
        assert 1 <= plan["phases"] <= 4 and len(plan["tasks"]) == plan["phases"]
        assert all(tasks > 0 for tasks in plan["tasks"])
        assert (plan["packing_tasks"] > 0) == (plan["packed_bytes"] > 0)
        assert plan["shared_bytes"] >= 0 and plan["chunk_bytes"] >= 0
        assert kernel.bindings.plan(kernel.name, threads=threads, **shape_of(kernel)) == plan


X = np.zeros(100, np.float32)


@pytest.mark.parametrize(
    ("name", "x", "arguments", "error", "message"),
    [
        ("relu_fast", X, {"size": 100}, ValueError, "no kernel 'relu_fast'"),
        (
            *("relu_reference_bwd_input_f32", X, {"size": 100}, ValueError),
            "'relu_reference_bwd_input_f32' is of pass bwd_input, not forward",
        ),
        ("f32", X, {"size": 99}, ValueError, "x must have 99 elements, but has 100"),
        ("f64", X, {"size": 100}, TypeError, "x must be a C-contiguous array of float64"),
        ("f32", X[::2], {"size": 50}, TypeError, "x must be a C-contiguous array of float32"),
        ("f32", X, {}, TypeError, "lacks its field 'size'"),
        ("f32", X, {"size": 100, "sise": 1}, TypeError, "no field 'sise'"),
        ("f32", X, {"size": 0}, ValueError, "size must be at least 1, but is 0"),
        ("f32", X, {"size": 100, "threads": 0}, ValueError, "threads must be positive"),
    ],
)
def test_wrong_arguments(
    name: str, x: Array, arguments: dict[str, int], error: type[Exception], message: str
) -> None:
    name = name if name.startswith("relu") else f"relu_reference_{name}"
    with pytest.raises(error, match=message):
        _kernels.relu.forward(name, x, **arguments)


def test_wrong_selections() -> None:
    with pytest.raises(ValueError, match="no pass 'sideways'"):
        _kernels.relu.select("sideways", "float32", size=1)
    with pytest.raises(ValueError, match="dtype must be float32"):
        _kernels.relu.select("forward", "int8", size=1)


def test_a_kernel_that_does_not_apply_says_so() -> None:
    name = "conv2d_pointwise_f32_baseline"
    assert _kernels.conv2d.cost(name, **CONV2D_3X3) == float("inf")
    with pytest.raises(ValueError, match=f"'{name}' does not apply to this shape"):
        _kernels.conv2d.plan(name, **CONV2D_3X3)


def test_a_kernel_above_the_active_isa_says_so() -> None:
    _kernels.set_isa_cap("baseline")
    for kernel in KERNELS:
        if kernel.isa != "baseline":
            message = f"'{kernel.name}' needs {kernel.isa}, but the active ISA is baseline"
            with pytest.raises(ValueError, match=message):
                kernel.bindings.plan(kernel.name, **shape_of(kernel))

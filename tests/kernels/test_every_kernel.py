"""Every kernel on all problems of its operator: right results, and the same bits twice, also where
the weights are packed ahead."""

from __future__ import annotations

import itertools

import pytest
from bindings import MANY_THREADS, OPERATORS, THREADS, Kernel
from numerics import assert_same_bits
from problem import Problem, each_kernel
from problems import PROBLEMS


def test_every_operator_has_problems() -> None:
    assert set(PROBLEMS) == set(OPERATORS)


@pytest.mark.parametrize(
    "kernel, problem",
    [p for op, problems in PROBLEMS.items() for p in each_kernel(op, problems=problems)],
)
def test_results(kernel: Kernel, problem: Problem) -> None:
    for (kind, operands), threads in zip(problem.draws(kernel), itertools.cycle(THREADS)):
        results = problem.run(kernel, operands, threads=threads)
        problem.check(kernel, operands, results, f"{kind}, {threads} threads")


each_representative = pytest.mark.parametrize(
    "kernel, problem",
    [
        parameter
        for op, problems in PROBLEMS.items()
        for parameter in each_kernel(op, problems=[p for p in problems if p.representative])
    ],
)


@each_representative
def test_results_of_many_threads(kernel: Kernel, problem: Problem) -> None:
    """The phases of every plan cover all of the work."""
    for (kind, operands), threads in zip(problem.draws(kernel), MANY_THREADS, strict=False):
        results = problem.run(kernel, operands, threads=threads)
        problem.check(kernel, operands, results, f"{kind}, {threads} threads")


@each_representative
def test_same_threads_same_bits(kernel: Kernel, problem: Problem) -> None:
    threads = THREADS[-1]
    _, operands = next(iter(problem.draws(kernel)))
    # This one reads the weights of few rows in place, and sums fewer products at a time.
    is_alike = not kernel.name.startswith("linear_gemm_bwd_input")
    unpacked = kernel._replace(packed=False) if is_alike else kernel
    first, second = (problem.run(each, operands, threads=threads) for each in (kernel, unpacked))
    for name, values in first.items():
        assert_same_bits(second[name], values, f"{name} of the second of two runs")

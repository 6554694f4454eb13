"""The operators with kernels, of which tests/ops/test_every_*.py ask all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cnnext.testing import kernels, specs
from cnnext.testing.cases import Case
from cnnext.testing.spec import OperatorSpec
from tests.ops import problems, raw_calls
from tests.ops.support import (
    LAYOUTS,
    LAYOUTS_4D,
    VIEWS,
    VIEWS_4D,
    Problem,
    Tensors,
    check_everything,
    check_exact,
)


class Spec(OperatorSpec):
    """An operator's, and what follows from it for the tests of this folder."""

    @property
    def of_images(self) -> bool:
        return len(self.typical_cases[0].operand_shapes[0]) == 4

    @property
    def has_bias(self) -> bool:
        return bool(self.weights)

    @property
    def directions(self) -> tuple[str, ...]:
        """What there are kernels for: those of another operator are tested with that."""
        if self.operator.kernels is None:
            return ()
        return tuple(dict.fromkeys(k.direction for k in kernels.registry(self.kernels[0])))

    @property
    def raw_name(self) -> str:
        """Whose raw operators it calls."""
        return self.name if self.operator.raw else self.kernels[0]

    @property
    def in_graphs(self) -> str | None:
        """What compilers' graphs hold; None for native's."""
        return self.raw_name if self.has_graphs else None

    @property
    def layouts(self) -> tuple[str, ...]:
        return tuple(LAYOUTS) if self.of_images else ("nchw",)

    @property
    def views(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return VIEWS_4D if self.of_images else VIEWS

    @property
    def layout_views(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return LAYOUTS_4D if self.of_images else {"dense": VIEWS["dense"]}

    def problem(self, case: Case, kind: str = "normal", dtype: Any = torch.float32) -> Problem:
        return problems.of(self.name, case, kind, dtype)

    def without_bias(self, problem: Problem) -> Problem:
        """With None for the operands behind the weights."""
        count = max(self.weights) + 1
        missing = (None,) * (len(problem.operands) - count)
        return replace(problem, operands=(*problem.operands[:count], *missing))

    def with_and_without_bias(self, problem: Problem) -> tuple[Problem, ...]:
        return (problem, self.without_bias(problem)) if self.has_bias else (problem,)

    def raw_calls(self, case: Case, operands: Tensors) -> Iterator[raw_calls.RawCall]:
        """The raw operators behind a call and its gradients."""
        return raw_calls.of(self, case, operands)

    def check(self, problem: Problem) -> None:
        """Results with and without a graph, gradients, and how they lie in memory.

        Native's gradient of a global mean is the expanded gradient of the output, with its strides,
        and that of roi_pool is channels_last.
        """
        if self.exact:
            check_exact(problem)
            return
        is_global = problem.native_outputs[0].shape[-2:] == (1, 1)
        is_mean = self.results == "averages"
        strange = (is_mean and is_global) or self.name == "roi_pool"
        check_everything(problem, image_strides=not strange)


SPECS = tuple(Spec(**vars(spec)) for spec in specs.SPECS.values() if spec.typical_cases)
BY_NAME = {spec.name: spec for spec in SPECS}
ELEMENTWISE = tuple(spec for spec in SPECS if spec.elementwise)

#: The names of those with weights, and so with a bias.
WEIGHTED = tuple(spec.name for spec in SPECS if spec.has_bias)


def viewed(problem: Problem, input: str, others: str) -> Problem:
    """With views of those names; vectors and matrices are seen as images are, where they can be."""

    def seen(view: str, operand: Any) -> Any:
        views = VIEWS_4D if operand.dim() == 4 else VIEWS
        return views.get(view, VIEWS["sliced"])(operand)

    first, *rest = problem.operands
    rest = [None if operand is None else seen(others, operand) for operand in rest]
    return replace(problem, operands=(seen(input, first), *rest))


def each_case(field: str, *ops: str) -> Any:
    """Parameters (spec, case) for these specs, or all, and their cases of that kind."""
    params = [
        pytest.param(spec, case, id=f"{spec.name}-{case}")
        for spec in SPECS
        if not ops or spec.name in ops
        for case in getattr(spec, field)
    ]
    return pytest.mark.parametrize(("spec", "case"), params)


def each(specs: Iterable[Spec]) -> Any:
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.name)


each_spec = each(SPECS)

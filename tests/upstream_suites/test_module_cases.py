"""The cases from which PyTorch's test_nn.py makes its tests of modules, run by PyTorch's own class.

It compares with a reference function, checks gradients by finite differences, non-contiguous
inputs, casts to other dtypes, pickling, `repr`, and in-place variants.
"""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torch.testing._internal.common_nn import (
    NewModuleTest,
    NNTestCase,
    get_new_module_tests,
    module_tests,
)
from torch.testing._internal.common_utils import freeze_rng_state
from torch.utils._pytree import tree_map

import cnnext
from tests.upstream_suites.patching import patched


def _name(case: dict[str, Any]) -> str:
    parts = (case.get("module_name") or case.get("fullname") or "", case.get("desc"))
    return "_".join(part for part in parts if part)


_MODULES = {module.__name__ for module in cnnext.nn.MODULES}
CASES = {
    _name(case): case
    for case in (*module_tests, *get_new_module_tests())
    if _name(case).partition("_")[0] in _MODULES
}


class Differentiator(NNTestCase):
    """How the cases call a module and get at its gradients."""

    __test__ = False  # the cases are the tests

    def runTest(self) -> None:  # noqa: N802 (unittest's name)
        """Nothing of its own."""

    def _forward(self, module: nn.Module, input: Any) -> Any:
        with freeze_rng_state():
            return module(*input) if isinstance(input, tuple) else module(input)

    def _backward(
        self,
        module: nn.Module,
        input: Any,
        output: Any,
        grad_output: Any,
        create_graph: Any = False,
    ) -> Any:
        output.backward(grad_output, retain_graph=True, create_graph=create_graph)
        return tree_map(lambda t: t.grad, input)

    def _get_parameters(self, module: nn.Module) -> tuple[list[Any], list[Any]]:
        parameters = list(module.parameters())
        return parameters, [parameter.grad for parameter in parameters]

    def _zero_grad_parameters(self, module: nn.Module) -> None:
        module.zero_grad(set_to_none=False)


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = dict(CASES[name])
    module_name = case.pop("module_name", None)
    with patched():
        if module_name is not None:
            case["constructor"] = getattr(cnnext.nn, module_name)
        NewModuleTest(**case)(Differentiator())


def test_there_are_cases_of_most_modules() -> None:
    assert {name.partition("_")[0] for name in CASES} >= {"Conv2d", "Linear", "ReLU"}

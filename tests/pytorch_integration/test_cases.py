"""The table is complete."""

import cnnext
from tests.pytorch_integration.cases import LAYERS, OPERATORS


def test_every_operator_has_a_line() -> None:
    assert sorted(op.name for op in OPERATORS) == sorted(cnnext.functional.__all__)


def test_every_module_has_a_line() -> None:
    assert {layer.name for layer in LAYERS} == {cls.__name__ for cls in cnnext.nn.MODULES}

"""What the specs of recurrent cells and layers share."""

from __future__ import annotations

from typing import Any

from torch import nn

from cnnext.runtime.operator import OPERATORS, Operator
from cnnext.testing.spec import ROWS, SEQUENCES, STATE, Arguments, Drawn, Layer, OperatorSpec

#: Rows of 5 features, states of 4.
INPUT, HIDDEN = Drawn(3, 5), Drawn(3, 4)
SIZES: dict[str, Any] = {"input_size": 5, "hidden_size": 4}


def weights(gates: int) -> dict[str, Drawn]:
    """The parameters of a cell."""
    rows = 4 * gates
    biases = {"b_ih": Drawn(rows), "b_hh": Drawn(rows)}
    return {"w_ih": Drawn(rows, 5), "w_hh": Drawn(rows, 4), **biases}


def one_state_cell(operator: Operator, gates: int, **more: Any) -> OperatorSpec:
    """The spec of a cell with one state, which is a recurrence of one step."""
    rows = 4 * gates
    return OperatorSpec(
        operator,
        weights=(2, 3),
        runs=("recurrence", "linear"),
        shapes=(ROWS, STATE, (rows, 3), (rows, 4), (rows,), (rows,)),
        calls={operator.name: Arguments({"input": INPUT, "hx": HIDDEN, **weights(gates)})},
        **more,
    )


def cell_module(name: str, **more: Any) -> dict[str, Any]:
    """The module of a cell with one state."""
    arguments = {"input": INPUT, "state": HIDDEN, **SIZES, "bias": True, **more}
    return {
        "layers": (Layer(name, (3, 4), (ROWS, STATE)),),
        "modules": {name: Arguments(arguments)},
    }


def layer_over_sequences(
    module: type[nn.Module], arguments: dict[str, Any], **more: Any
) -> OperatorSpec:
    """The spec of a module that reads whole sequences, with arguments of its own."""
    name = module.__name__
    arguments = {
        **{"input": Drawn(6, 3, 5), **SIZES, "bias": True, "batch_first": False},
        **{"dropout": 0.0, "bidirectional": True, **arguments},
    }
    return OperatorSpec(
        OPERATORS[name],
        runs=("recurrence", "linear"),
        layers=(Layer(name, (3, 4), (SEQUENCES,), {"batch_first": True}),),
        modules={name: Arguments(arguments)},
        **more,
    )

"""recurrence: the operators in which all recurrent cells and layers are computed."""

from __future__ import annotations

from cnnext.ops.common.recurrence_formulas import Cell
from cnnext.ops.recurrence import RECURRENCE
from cnnext.testing.recurrence_cases import CORNERS, EDGE, TINY, TYPICAL, function_of
from cnnext.testing.spec import Arguments, Drawn, OperatorSpec
from cnnext.testing.specs._recurrent import HIDDEN, weights

SPEC = OperatorSpec(
    RECURRENCE,
    weights=(3, 4),
    edge_cases=EDGE,
    typical_cases=TYPICAL,
    corner_cases=CORNERS,
    tiny_cases=TINY,
    function_of=function_of,
    raw={
        "recurrence_forward": Arguments(
            {
                **{"cell": int(Cell.LSTM), "input": Drawn(6, 5), "h0": HIDDEN, "c0": HIDDEN},
                **{**weights(4), "batch_sizes": None, "reverse": False, "saves": True},
            }
        ),
        "recurrence_backward": Arguments(
            {
                **{"cell": int(Cell.LSTM), "grad_output": Drawn(6, 4), "grad_h_n": HIDDEN},
                **{"grad_c_n": HIDDEN, "workspace": Drawn(6, 16), "state": Drawn(6, 4)},
                **{"h0": HIDDEN, "w_hh": Drawn(16, 4), "batch_sizes": None, "batch": 3},
                "reverse": False,
            }
        ),
    },
)

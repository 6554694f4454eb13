"""lstm_cell."""

from __future__ import annotations

from cnnext.ops.lstm_cell import LSTM_CELL
from cnnext.testing.cases import VECTOR_SIZES, LSTMCellCase
from cnnext.testing.spec import ROWS, STATE, Arguments, Drawn, Layer, OperatorSpec
from cnnext.testing.specs._recurrent import HIDDEN, INPUT, SIZES, weights

LSTM_CELLS = tuple(
    LSTMCellCase(f"lstm_cell_b{batch}_{hidden}", batch, hidden, hidden)
    for batch, hidden in ((1, 32), (1, 128), (32, 128), (64, 512))
)

EDGE_LSTM_CELLS = (
    *(LSTMCellCase(f"edge_lstm_cell_{size}", 3, size + 2, size) for size in VECTOR_SIZES),
    LSTMCellCase("edge_lstm_cell_empty_batch", 0, 3, 4),
)

SPEC = OperatorSpec(
    LSTM_CELL,
    weights=(3, 4),
    states=("h", "c"),
    runs=("recurrence", "linear"),
    cases=LSTM_CELLS,
    edge_cases=EDGE_LSTM_CELLS,
    gpu_cases=(LSTMCellCase("several_blocks", 9, 3, 65),),
    typical_cases=(LSTMCellCase("plain", 3, 5, 4),),
    corner_cases=(
        LSTMCellCase("one", 1, 1, 1),
        LSTMCellCase("no_features", 2, 0, 4),
        LSTMCellCase("no_units", 2, 3, 0),
    ),
    tiny_cases=(LSTMCellCase("tiny", 2, 3, 2),),
    shapes=(ROWS, STATE, STATE, (16, 3), (16, 4), (16,), (16,)),
    layers=(Layer("LSTMCell", (3, 4), (ROWS, STATE, STATE), states=True),),
    calls={"lstm_cell": Arguments({"input": INPUT, "h": HIDDEN, "c": HIDDEN, **weights(4)})},
    modules={
        "LSTMCell": Arguments({"input": INPUT, "states": HIDDEN, **SIZES, "bias": True}),
        "LSTMCell-unbatched": Arguments({"input": Drawn(5), "states": Drawn(4)}, SIZES),
    },
    raw={
        "lstm_cell_forward": Arguments({"input": INPUT, "hx": HIDDEN, "cx": HIDDEN, **weights(4)}),
        "lstm_cell_backward": Arguments(
            {"grad_h": HIDDEN, "grad_c": HIDDEN, "cx": HIDDEN, "gates": Drawn(3, 16)}
        ),
    },
)

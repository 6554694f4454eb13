"""LSTM cells from small to large, native PyTorch against cnnext."""

OP = "lstm_cell"


def test_lstm_cell(benchmark, call):
    benchmark(call)

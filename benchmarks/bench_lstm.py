"""A layer of an LSTM over whole sequences, native PyTorch against cnnext."""

OP = "lstm"


def test_lstm(benchmark, call):
    benchmark(call)

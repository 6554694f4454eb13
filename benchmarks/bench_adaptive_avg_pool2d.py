"""The adaptive average pools of known networks, native PyTorch against cnnext."""

OP = "adaptive_avg_pool2d"


def test_adaptive_avg_pool2d(benchmark, call):
    benchmark(call)

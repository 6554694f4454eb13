"""The adaptive max-pools of known networks, native PyTorch against cnnext."""

OP = "adaptive_max_pool2d"


def test_adaptive_max_pool2d(benchmark, call):
    benchmark(call)

"""The average pools of LeNet-5, DenseNet-121 and Inception v3, native PyTorch against cnnext."""

OP = "avg_pool2d"


def test_avg_pool2d(benchmark, call):
    benchmark(call)

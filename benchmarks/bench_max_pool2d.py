"""The max-pools of LeNet-5, VGG-16 and ResNet-50, native PyTorch against cnnext."""

OP = "max_pool2d"


def test_max_pool2d(benchmark, call):
    benchmark(call)

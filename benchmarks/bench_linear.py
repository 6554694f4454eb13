"""The fully connected layers of LeNet-5, VGG-16 and ResNet-50, native PyTorch against cnnext."""

OP = "linear"


def test_linear(benchmark, call):
    benchmark(call)

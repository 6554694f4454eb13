"""The distinct convolutions of LeNet-5, VGG-16 and ResNet-50, native PyTorch against cnnext."""

OP = "conv2d"


def test_conv2d(benchmark, call):
    benchmark(call)

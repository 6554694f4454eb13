"""ReLUs of LeNet-5, VGG-16 and ResNet-50, native PyTorch against cnnext."""

OP = "relu"


def test_relu(benchmark, call):
    benchmark(call)

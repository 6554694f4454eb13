"""Model builders that take the layer namespace as an argument.

``vgg16(layers=torch.nn)`` is the native counterpart of ``vgg16(layers=cnnext.nn)``: the same
modules in the same order, hence the same ``state_dict`` keys and, under the same seed, the same
weights. Where torchvision has the model, keys, structure and initialisation equal torchvision's, so
its weights load.
"""

from cnnext.models.lenet import LeNet5, lenet5
from cnnext.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from cnnext.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)

__all__ = [
    "VGG",
    "BasicBlock",
    "Bottleneck",
    "LeNet5",
    "ResNet",
    "lenet5",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

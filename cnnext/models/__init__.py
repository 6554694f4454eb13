"""Model builders that take the layer namespace as an argument.

``vgg16(layers=torch.nn)`` is the native counterpart of ``vgg16(layers=cnnext.nn)``: the same
modules in the same order, hence the same ``state_dict`` keys and, under the same seed, the same
weights. Where torchvision has the model, keys, structure and initialisation equal torchvision's, so
its weights load.
"""

from cnnext.models.alexnet import AlexNet, alexnet
from cnnext.models.crnn import CRNN, crnn
from cnnext.models.densenet import DenseNet, densenet121
from cnnext.models.efficientnet import EfficientNet, MBConv, efficientnet_b0
from cnnext.models.googlenet import GoogLeNet, GoogLeNetOutputs, Inception, googlenet
from cnnext.models.lenet import LeNet5, lenet5
from cnnext.models.mobilenet import InvertedResidual, MobileNetV2, mobilenet_v2
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
from cnnext.models.unet import UNet, unet
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
    "CRNN",
    "VGG",
    "AlexNet",
    "BasicBlock",
    "Bottleneck",
    "DenseNet",
    "EfficientNet",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "Inception",
    "InvertedResidual",
    "LeNet5",
    "MBConv",
    "MobileNetV2",
    "ResNet",
    "UNet",
    "alexnet",
    "crnn",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "lenet5",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "unet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

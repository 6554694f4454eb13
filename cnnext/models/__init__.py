"""Model builders that take the layer namespace as an argument.

``vgg16(layers=torch.nn)`` is the native counterpart of ``vgg16(layers=cnnext.nn)``: the same
modules in the same order, hence the same ``state_dict`` keys and, under the same seed, the same
weights. Where torchvision has the model, keys, structure and initialisation equal torchvision's, so
its weights load.
"""

from cnnext.models.alexnet import AlexNet, AlexNet227, alexnet, alexnet_227
from cnnext.models.crnn import CRNN, crnn
from cnnext.models.deconvnet import DeconvNet, deconvnet
from cnnext.models.densenet import DenseNet, densenet121
from cnnext.models.efficientnet import EfficientNet, MBConv, efficientnet_b0
from cnnext.models.fast_rcnn import FastRCNNHead, FastRCNNOutputs, fast_rcnn_head
from cnnext.models.gcn import GCN, GraphConvolution, gcn
from cnnext.models.googlenet import GoogLeNet, GoogLeNetOutputs, Inception, googlenet
from cnnext.models.lenet import LeNet5, lenet5
from cnnext.models.mlp import MLP, mlp
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
from cnnext.models.segmentation import (
    ASPP,
    FCN,
    DeepLabV3,
    PSPNet,
    PyramidPooling,
    deeplabv3,
    fcn,
    pspnet,
)
from cnnext.models.simple_recurrent import SimpleRecurrent, simple_gru, simple_lstm, simple_rnn
from cnnext.models.small_cnns import FashionCNN, SimpleCNN, fashion_cnn, simple_cnn
from cnnext.models.spatial_pyramid import SpatialPyramidPool
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
    "ASPP",
    "CRNN",
    "FCN",
    "GCN",
    "MLP",
    "VGG",
    "AlexNet",
    "AlexNet227",
    "BasicBlock",
    "Bottleneck",
    "DeconvNet",
    "DeepLabV3",
    "DenseNet",
    "EfficientNet",
    "FashionCNN",
    "FastRCNNHead",
    "FastRCNNOutputs",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "GraphConvolution",
    "Inception",
    "InvertedResidual",
    "LeNet5",
    "MBConv",
    "MobileNetV2",
    "PSPNet",
    "PyramidPooling",
    "ResNet",
    "SimpleCNN",
    "SimpleRecurrent",
    "SpatialPyramidPool",
    "UNet",
    "alexnet",
    "alexnet_227",
    "crnn",
    "deconvnet",
    "deeplabv3",
    "densenet121",
    "efficientnet_b0",
    "fashion_cnn",
    "fast_rcnn_head",
    "fcn",
    "gcn",
    "googlenet",
    "lenet5",
    "mlp",
    "mobilenet_v2",
    "pspnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "simple_cnn",
    "simple_gru",
    "simple_lstm",
    "simple_rnn",
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

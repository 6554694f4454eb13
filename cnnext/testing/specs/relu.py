"""relu."""

from __future__ import annotations

from cnnext.ops.relu import RELU
from cnnext.testing.cases import ElementwiseCase
from cnnext.testing.specs._elementwise import elementwise

RELUS = (
    ElementwiseCase("lenet5_relu1", (64, 6, 28, 28)),
    ElementwiseCase("lenet5_relu3", (64, 120)),
    ElementwiseCase("vgg16_relu1_1", (1, 64, 224, 224)),
    ElementwiseCase("resnet50_relu_64@112", (1, 64, 112, 112)),
    ElementwiseCase("resnet50_relu_256@56", (1, 256, 56, 56)),
    ElementwiseCase("resnet50_relu_2048@7", (1, 2048, 7, 7)),
)

SPEC = elementwise(RELU, RELUS, results="selected")

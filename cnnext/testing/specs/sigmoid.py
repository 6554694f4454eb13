"""sigmoid."""

from __future__ import annotations

from cnnext.ops.sigmoid import SIGMOID
from cnnext.testing.cases import ElementwiseCase
from cnnext.testing.specs._elementwise import elementwise

SIGMOIDS = (
    ElementwiseCase("resnext50_se_sigmoid_512", (32, 512, 1, 1)),
    ElementwiseCase("yolov3_sigmoid_255@52", (1, 255, 52, 52)),
    ElementwiseCase("dcgan_sigmoid_3@64", (64, 3, 64, 64)),
    ElementwiseCase("unet_sigmoid_1@512", (16, 1, 512, 512)),
)

SPEC = elementwise(SIGMOID, SIGMOIDS)

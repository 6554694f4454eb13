"""leaky_relu."""

from __future__ import annotations

from dataclasses import dataclass

from cnnext.ops.leaky_relu import LEAKY_RELU
from cnnext.testing.cases import ElementwiseCase
from cnnext.testing.specs._elementwise import elementwise


@dataclass(frozen=True)
class LeakyReluCase(ElementwiseCase):
    """A call of ``leaky_relu``; in binary, its product with a small integer is exact."""

    negative_slope: float = 0.25


LEAKY_RELUS = (
    LeakyReluCase("dcgan_leaky_relu_64@32", (64, 64, 32, 32), 0.2),
    LeakyReluCase("dcgan_leaky_relu_512@4", (64, 512, 4, 4), 0.2),
    LeakyReluCase("darknet53_leaky_relu_64@128", (1, 64, 128, 128), 0.1),
    LeakyReluCase("darknet53_leaky_relu_1024@8", (1, 1024, 8, 8), 0.1),
)

SPEC = elementwise(LEAKY_RELU, LEAKY_RELUS, results="selected", case=LeakyReluCase)

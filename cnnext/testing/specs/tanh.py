"""tanh."""

from __future__ import annotations

from cnnext.ops.tanh import TANH
from cnnext.testing.cases import ElementwiseCase
from cnnext.testing.specs._elementwise import elementwise

TANHS = (
    ElementwiseCase("lenet5_tanh_84", (64, 84)),
    ElementwiseCase("lenet5_tanh_6@28", (64, 6, 28, 28)),
    ElementwiseCase("dcgan_tanh_3@64", (64, 3, 64, 64)),
    ElementwiseCase("pix2pix_tanh_3@256", (16, 3, 256, 256)),
)

SPEC = elementwise(TANH, TANHS)

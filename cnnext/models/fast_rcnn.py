"""Fast R-CNN, which classifies boxes of an image and corrects their corners.

Girshick, "Fast R-CNN", ICCV 2015 (https://arxiv.org/abs/1504.08083), on VGG-16, from which
``features`` and the linear layers ``classifier.0`` and ``classifier.3`` have their names: VGG-16's
weights load with ``strict=False``. Initialisation of the last two layers is the paper's.
"""

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from cnnext import nn
from cnnext.functional import roi_pool
from cnnext.models.common import in_saved_programs, init_convolutions
from cnnext.models.vgg import VGG16_STAGES, make_features
from cnnext.ops.common.roi_pooling import Boxes
from cnnext.ops.common.roi_pooling import roi_pool as native_roi_pool

_POOLED = 7
_STRIDE = 16


@in_saved_programs
class FastRCNNOutputs(NamedTuple):
    """Logits ``(K, num_classes + 1)`` of the boxes, and corrections ``(K, 4 * (num_classes + 1))``.

    The first class is the background. A class's corrections are shift and logarithmic growth,
    (dx, dy, dw, dh), relative to the box.
    """

    scores: Tensor
    deltas: Tensor


class FastRCNNHead(torch.nn.Module):
    """VGG-16's convolutions, RoI max-pooling to 7x7, and four linear layers.

    Args:
        num_classes: classes of a box, the background not counted.
        hidden_features: size of the two linear layers that scores and corrections share.
        dropout: probability of a zero after each of these.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(N, 3, H, W)`` with ``H, W >= 16``, and ``(K, 5)``, boxes as
          :func:`cnnext.functional.roi_pool` takes them
        - Output: :class:`FastRCNNOutputs`
    """

    def __init__(
        self,
        num_classes: int = 20,
        hidden_features: int = 4096,
        dropout: float = 0.5,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        # RoI pooling stands in for the last max-pool. PyTorch has none.
        self.roi_pool = roi_pool if layers is nn else native_roi_pool
        self.features = make_features(VGG16_STAGES, False, layers)[:-1]
        self.classifier = layers.Sequential(
            layers.Linear(512 * _POOLED**2, hidden_features),
            layers.ReLU(inplace=True),
            layers.Dropout(p=dropout),
            layers.Linear(hidden_features, hidden_features),
            layers.ReLU(inplace=True),
            layers.Dropout(p=dropout),
        )
        self.scores = layers.Linear(hidden_features, num_classes + 1)
        self.deltas = layers.Linear(hidden_features, 4 * (num_classes + 1))
        init_convolutions(self, "fan_out")
        for linear, std in ((self.scores, 0.01), (self.deltas, 0.001)):
            torch.nn.init.normal_(linear.weight, mean=0.0, std=std)
            torch.nn.init.zeros_(linear.bias)

    def forward(self, images: Tensor, rois: Boxes) -> FastRCNNOutputs:
        x = self.features(images)
        x = self.roi_pool(x, rois, _POOLED, 1 / _STRIDE)
        x = torch.flatten(x, 1)
        x = self.classifier(x)
        return FastRCNNOutputs(self.scores(x), self.deltas(x))


def fast_rcnn_head(
    num_classes: int = 20, layers: ModuleType = nn, *, hidden_features: int = 4096
) -> FastRCNNHead:
    """Fast R-CNN on VGG-16 (134,690,729 parameters for 20 classes); see :class:`FastRCNNHead`."""
    return FastRCNNHead(num_classes, hidden_features, layers=layers)

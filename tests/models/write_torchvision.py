"""Writes torchvision.jsonl: keys and shapes of torchvision's models, and how much they compute.

    python -m tests.models.write_torchvision

It needs torchvision, which the tests do not: not every build of PyTorch has one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

PATH = Path(__file__).with_name("torchvision.jsonl")

MODELS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("alexnet", {}),
    ("googlenet", {"aux_logits": False}),
    ("googlenet", {"aux_logits": True}),
    ("mobilenet_v2", {}),
    ("mobilenet_v2", {"width_mult": 0.35}),
    ("densenet121", {}),
    ("efficientnet_b0", {}),
    *((f"vgg{depth}{suffix}", {}) for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    *((f"resnet{depth}", {}) for depth in (18, 34, 50, 101, 152)),
    ("fcn", {}),
    ("deeplabv3", {}),
)

# Models that have another name in torchvision.
SEGMENTATION = {"fcn": "fcn_resnet50", "deeplabv3": "deeplabv3_resnet50"}


def build(name: str, **arguments: Any) -> torch.nn.Module:
    """torchvision's model, on meta."""
    from torchvision import models

    if name == "googlenet":
        arguments |= {"init_weights": False}  # torchvision warns of its default
    if name in SEGMENTATION:
        # Without a download, and without the auxiliary classifier.
        arguments |= {"weights_backbone": None, "aux_loss": False}
    theirs = SEGMENTATION.get(name, name)
    builders = models.segmentation if name in SEGMENTATION else models
    with torch.device("meta"):
        return getattr(builders, theirs)(weights=None, **arguments)


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in model.state_dict().items()}


def multiply_adds(model: torch.nn.Module) -> int:
    """Products for one image of 224 x 224 in convolutions and linear layers of a meta model."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    return counter.get_total_flops() // 2


def row(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    model = build(name, **arguments)
    return {
        "model": name,
        "arguments": arguments,
        "multiply_adds": multiply_adds(model),
        "shapes": shapes(model),
    }


if __name__ == "__main__":
    PATH.write_text("".join(f"{json.dumps(row(*model))}\n" for model in MODELS))

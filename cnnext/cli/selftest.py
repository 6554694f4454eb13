"""A quick test of every operator, for ``cnnext env``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from cnnext.runtime.flags import flags
from cnnext.testing.cases import Shape
from cnnext.testing.comparisons import comparison
from cnnext.testing.model_pair import CNNEXT, ModelPair
from cnnext.testing.spec import Layer
from cnnext.testing.specs import MEASURED, SPECS

OK = "ok"


class _Trained(torch.nn.Module):
    """All outputs of a layer, behind factors that make the gradient of its input count."""

    def __init__(self, layer: torch.nn.Module, shape: Shape) -> None:
        super().__init__()
        self.factors = torch.nn.Parameter(torch.ones(shape[1:]))
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        outputs = tree_leaves(self.layer(x.reshape(-1, *self.factors.shape) * self.factors))
        return torch.cat([output.flatten() for output in outputs])


def run() -> dict[str, str]:
    """By operator: ``"ok"``, or why its forward or backward pass fails on a small case."""
    return {op: _test(op) for op in MEASURED}


def _test(op: str) -> str:
    for case in MEASURED[op].edge_cases:
        try:
            comparison(op, case, "training").check()
        except Exception as error:  # whatever is wrong is what the user must see
            return f"{type(error).__name__} on {case}: {error}"
    return OK


def run_layers(device: str) -> dict[str, str]:
    """By operator: ``"ok"``, or why a layer fails there with cnnext's own kernels."""
    with flags(cuda_backend="own"):
        return {op: _test_layers(spec.layers, device) for op, spec in SPECS.items() if spec.layers}


def _test_layers(layers: tuple[Layer, ...], device: str) -> str:
    results = (_test_layer(layer, device) for layer in layers)
    return next((result for result in results if result != OK), OK)


def _test_layer(layer: Layer, device: str) -> str:
    shape = layer.shapes[0]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator).reshape(*(*shape, 1)[:3], -1)
    try:
        pair = ModelPair(
            lambda layers: _Trained(layer.build(layers), shape),
            images.to(device),
            torch.tensor([1, 3], device=device),
        )
        forward = pair.check_forward()
        gradients = pair.check_gradients()
    except Exception as error:  # whatever is wrong is what the user must see
        return f"{type(error).__name__}: {error}"
    if not forward.ok:
        return f"error against float64: {forward.errors}"
    if not gradients[CNNEXT] <= pair.gradient_limit(gradients):
        return f"error of the gradients against float64: {gradients}"
    return OK

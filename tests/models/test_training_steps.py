"""Networks as published: their outputs, and everything that a training step changes or returns.

Where a value is within rounding of zero, or two of a window within rounding of each other, a ReLU
or a max-pool sends the gradient another way in float32 than in float64, and that is most of the
difference between two correct gradients (`cnnext.testing.errors`). So native PyTorch and the
float64 reference take the routes of our step here. What is left is rounding, and each tensor by
itself keeps the contract against native PyTorch in one of its two layouts. Those differ from each
other by more than ours, which has Winograd's errors, does from the better one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, max_pool2d

import cnnext
from cnnext import models
from cnnext.models.common import init_convolutions
from cnnext.testing.errors import assert_bitwise_equal, assert_contract, check_contract, make_input

SEED = 20261130
Results = dict[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A network, and images for it.

    Attributes:
        depth: convolutions and linear layers on the longest way through it.
        size: height and width of the images.
        batch: of one image where no batch normalisation sees a single pixel.
    """

    name: str
    depth: int
    size: int
    batch: int = 2
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, layers: ModuleType) -> torch.nn.Module:
        """The network, with the same weights from every namespace."""
        torch.manual_seed(SEED)
        model = getattr(models, self.name)(layers=layers, **self.arguments)
        init_convolutions(model, "fan_in")  # so that the output is not the last biases alone
        return model

    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(SEED)
        return make_input("normal", (self.batch, 3, self.size, self.size), generator)


PUBLISHED = (
    Subject("alexnet", 8, 224),
    Subject("alexnet_227", 8, 227),
    Subject("vgg16", 16, 224, batch=1),
    Subject("googlenet", 22, 224, arguments={"aux_logits": True}),
    Subject("resnet50", 50, 224),
    Subject("unet", 23, 256, batch=1),
    Subject("pspnet", 52, 224),
    Subject("deeplabv3", 53, 224),
    Subject("fcn", 51, 224),
)

# The segmentation networks have one block a stage. Two of them normalise single pixels: of two
# images that leaves signs, with gradients that cancel, so there are four. AlexNet and VGG-16 are
# left out: they are mostly linear layers, which are as large for small images.
_DEPTHS = {"num_classes": 3, "depths": (1, 1, 1, 1)}
REDUCED = (
    Subject("googlenet", 22, 96, arguments={"aux_logits": True, "num_classes": 5}),
    Subject("resnet50", 50, 96, arguments={"num_classes": 5}),
    Subject("unet", 23, 64, arguments={"base_width": 16}),
    Subject("pspnet", 16, 48, batch=4, arguments=_DEPTHS),
    Subject("deeplabv3", 17, 48, batch=4, arguments=_DEPTHS),
    Subject("fcn", 15, 64, arguments=_DEPTHS),
)


# ---- Routes --------------------------------------------------------------------------------


def _branching(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers whose gradient goes one of several ways."""
    return [m for m in model.modules() if isinstance(m, torch.nn.ReLU | torch.nn.MaxPool2d)]


@contextmanager
def recorded_routes(model: torch.nn.Module) -> Iterator[list[Tensor]]:
    """Within, a call leaves where each ReLU was positive, and which pixels each pool took."""
    routes = []

    def record(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        if isinstance(layer, torch.nn.ReLU):
            routes.append(output > 0)
            return
        window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
        routes.append(max_pool2d(inputs[0].detach(), *window, return_indices=True)[1])

    handles = [layer.register_forward_hook(record) for layer in _branching(model)]
    yield routes
    for handle in handles:
        handle.remove()


def follow(routes: list[Tensor], model: torch.nn.Module) -> torch.nn.Module:
    """The model, whose next call takes these routes, whatever its own values are."""
    remaining = iter(routes)

    def take(layer: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        (x,), route = inputs, next(remaining)
        if isinstance(layer, torch.nn.ReLU):
            return x * route
        return x.flatten(2).gather(2, route.flatten(2)).view_as(route)

    for layer in _branching(model):
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False
        layer.register_forward_hook(take)
    return model


# ---- Steps ---------------------------------------------------------------------------------


def trained(model: torch.nn.Module, images: Tensor) -> Results:
    """What a training step computes: outputs, loss, gradients, parameters and buffers after it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    torch.manual_seed(SEED)  # of the dropouts
    outputs = model.train()(images)
    outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    generator = torch.Generator().manual_seed(SEED)
    shape = (len(images), *outputs[0].shape[2:])
    labels = torch.randint(outputs[0].shape[1], shape, generator=generator)
    loss, *auxiliary = (cross_entropy(each, labels) for each in outputs)
    loss = loss + 0.3 * sum(auxiliary)
    loss.backward()
    optimizer.step()
    results = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    results["loss"] = loss.detach()
    results |= {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    return results | {f"{name} after the step": t for name, t in model.state_dict().items()}


def in_channels_last(model: torch.nn.Module) -> torch.nn.Module:
    """The model in that layout, but for the dropouts, which draw in the order of memory."""

    def in_nchw(layer: torch.nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].contiguous(),)

    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.register_forward_pre_hook(in_nchw)
    return model.to(memory_format=torch.channels_last)


def check_inference(subject: Subject) -> None:
    images = subject.images()
    ours, native = (subject.build(layers).eval() for layers in (cnnext.nn, torch.nn))
    with torch.no_grad():
        results = ours(images), native(images), native.double()(images.double())
    assert_contract(*results, what=f"output of {subject.name}")


def check_training_step(subject: Subject) -> None:
    images = subject.images()
    recording = subject.build(cnnext.nn)
    with recorded_routes(recording) as routes:
        layer_by_layer = trained(recording, images)
    ours = trained(subject.build(cnnext.nn), images)
    # Layers that run in rows compute the same, so these are the routes of theirs, too.
    for name, result in ours.items():
        assert_bitwise_equal(result, layer_by_layer[name], what=name)
    del recording, layer_by_layer
    natives = (
        trained(follow(routes, subject.build(torch.nn)), images),
        trained(
            in_channels_last(follow(routes, subject.build(torch.nn))),
            images.contiguous(memory_format=torch.channels_last),
        ),
    )
    exact = trained(follow(routes, subject.build(torch.nn)).double(), images.double())
    assert list(ours) == list(exact)
    for name, result in ours.items():
        what = f"{name} of {subject.name}"
        if not result.is_floating_point():
            assert_bitwise_equal(result, exact[name], what=what)
            continue
        layers = subject.depth if name.startswith("output") else 2 * subject.depth
        verdicts = [
            check_contract(result, native[name], exact[name], layers=layers) for native in natives
        ]
        assert any(verdict.ok for verdict in verdicts), "\n".join([what, *map(str, verdicts)])


def each(subjects: tuple[Subject, ...]) -> Any:
    return pytest.mark.parametrize("subject", subjects, ids=lambda subject: subject.name)


@pytest.mark.models
@each(REDUCED)
def test_training_step_equals_native(subject: Subject) -> None:
    check_training_step(subject)


@pytest.mark.models
def test_a_gradient_off_by_little_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By much less than what other routes make."""

    class Wrong(cnnext.nn.ConvTranspose2d):
        def forward(self, *arguments: Any, **options: Any) -> Tensor:
            output = super().forward(*arguments, **options)
            output.register_hook(lambda gradient: 1.0001 * gradient)
            return output

    monkeypatch.setattr(cnnext.nn, "ConvTranspose2d", Wrong)
    with pytest.raises(AssertionError, match="gradient of .* of unet"):
        check_training_step(Subject("unet", 23, 32, arguments={"base_width": 4}))


@pytest.mark.slow
@pytest.mark.models
@each(PUBLISHED)
def test_inference_of_published_networks_equals_native(subject: Subject) -> None:
    check_inference(subject)


@pytest.mark.slow
@pytest.mark.models
@each(PUBLISHED)
def test_training_step_of_published_networks_equals_native(subject: Subject) -> None:
    check_training_step(subject)

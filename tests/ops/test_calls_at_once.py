"""Calls of convolution modules that go to a kept plan at once: what the long way makes of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import cnnext
from cnnext.ops import conv2d as conv2d_ops
from cnnext.testing import kernels
from tests.ops.support import only_kernel

Situation = Callable[[nn.Conv2d, Tensor], Any]


@pytest.fixture
def layer(seed: int) -> cnnext.Conv2d:
    torch.manual_seed(seed)
    return cnnext.Conv2d(8, 12, 3, padding=1)


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    return torch.randn(2, 8, 9, 10, generator=generator)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What convolutions were launched, the long way."""
    launched: list[str] = []

    def launch(operator: Any, *args: Any, **kwargs: Any) -> Any:
        launched.append(operator.name)
        return long_way(operator, *args, **kwargs)

    long_way = conv2d_ops.launch
    monkeypatch.setattr(conv2d_ops, "launch", launch)
    return launched


# ----------------------------------------------------------------------------------- situations


def after(change: Callable[[nn.Conv2d], Any]) -> Situation:
    def situation(layer: nn.Conv2d, image: Tensor) -> Any:
        change(layer)
        return layer(image)

    return situation


def having(**attributes: Any) -> Situation:
    return after(lambda layer: [setattr(layer, *item) for item in attributes.items()])


def within(context: Callable[[], Any]) -> Situation:
    def situation(layer: nn.Conv2d, image: Tensor) -> Any:
        with context():
            return layer(image)

    return situation


@contextmanager
def another_number_of_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3 if before == 1 else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Doubled(cnnext.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight * 2, bias)


#: Calls that need nothing but the plan: no selection, no checks in Python, no launch.
AT_ONCE: dict[str, Situation] = {
    "again": lambda layer, image: layer(image),
    "inference_mode": within(torch.inference_mode),
    "another size": lambda layer, image: layer(image[:1, :, 2:]),
    "channels_last": lambda layer, image: layer(image.to(memory_format=torch.channels_last)),
    "expanded": lambda layer, image: layer(image[:1, :, :1].expand_as(image)),
    "negated view": lambda layer, image: layer(torch._neg_view(image)),
    "threads": within(another_number_of_threads),
    "isa": within(lambda: kernels.use_isa("baseline")),
    "algorithm": within(lambda: cnnext.flags(conv_algorithm="exact")),
    "kernel": within(lambda: only_kernel("conv2d", "conv2d_reference_f32")),
    "tuples": having(stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
    "numbers": having(stride=2, padding=3, dilation=1),
    "no bias": having(bias=None),
    "other weights": lambda layer, image: layer._conv_forward(image, layer.weight * 2, None),
    "other data": after(lambda layer: setattr(layer.weight, "data", layer.weight.data[:, :, 1:])),
    "subclass": having(__class__=Doubled),
    "parametrized": after(nn.utils.parametrizations.weight_norm),
}


def changed_list(layer: nn.Conv2d, image: Tensor) -> Tensor:
    layer.stride = stride = [1, 1]
    layer(image)
    stride[0] = 2
    return layer(image)


def forward_mode(layer: nn.Conv2d, image: Tensor) -> Any:
    with torch.enable_grad(), forward_ad.dual_level(), torch.no_grad():
        dual = forward_ad.make_dual(image, torch.ones_like(image))
        return tuple(forward_ad.unpack_dual(layer(dual)))


def transform(layer: nn.Conv2d, image: Tensor) -> Any:
    return torch.func.vmap(layer)(image.unsqueeze(0))


def trace(layer: nn.Conv2d, image: Tensor) -> Any:
    return torch.jit.trace(layer, image, check_trace=False)(image + 1)


def fake(layer: nn.Conv2d, image: Tensor) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        result = layer(mode.from_tensor(image))
        return type(result), result.shape


class Log(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def dispatch_mode(layer: nn.Conv2d, image: Tensor) -> Any:
    with Log() as log:
        layer(image)
    return log.names


class Named(Tensor):
    """A subclass whose results are of its class."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_function__(func, types, args, kwargs or {})


def without_an_attribute(layer: nn.Conv2d) -> None:
    del layer.dilation


def data_in_double(layer: nn.Conv2d) -> None:
    layer.weight.data = layer.weight.data.double()


#: Calls that have more to them.
LAUNCHED: dict[str, Situation] = {
    "with gradients": within(torch.enable_grad),
    "nothing kept": within(lambda: cnnext.flags(keep_filters=False)),
    "autocast": within(lambda: torch.autocast("cpu", torch.bfloat16)),
    "vmap": transform,
    "forward mode": forward_mode,
    "trace": trace,
    "fake tensors": fake,
    "dispatch mode": dispatch_mode,
    "subclass of tensor": lambda layer, image: layer(image.as_subclass(Named)),
    "weight of a subclass": after(
        lambda layer: setattr(
            layer, "weight", nn.Parameter(layer.weight.detach().as_subclass(Named))
        )
    ),
    "bias of a subclass": having(bias=nn.Parameter(torch.ones(12).as_subclass(Named))),
    "unbatched": lambda layer, image: layer(image[0]),
    "no images": lambda layer, image: layer(image[:0]),
    "no rows": lambda layer, image: layer(image[:, :, :0]),
    "no filters": having(weight=nn.Parameter(torch.ones(0, 8, 3, 3)), bias=None),
    "not a tensor": lambda layer, image: layer(image.tolist()),
    "channels": lambda layer, image: layer(image[:, 1:]),
    "too small": lambda layer, image: layer(image[:, :, :, :0].expand(2, 8, 9, 0)),
    "dimensions of weight": having(weight=nn.Parameter(torch.ones(12, 8, 3))),
    "length of bias": having(bias=nn.Parameter(torch.ones(11))),
    "double image": lambda layer, image: layer(image.double()),
    "double weight": after(data_in_double),
    "double": lambda layer, image: layer.double()(image.double()),
    "double bias": having(bias=nn.Parameter(torch.ones(12).double())),
    "half": lambda layer, image: layer.half()(image.half()),
    "meta image": lambda layer, image: layer(image.to("meta")),
    "meta weight": lambda layer, image: layer.to("meta")(image).shape,
    "sparse image": lambda layer, image: layer(image.to_sparse()),
    "sparse weight": after(
        lambda layer: setattr(layer, "weight", nn.Parameter(layer.weight.detach().to_sparse()))
    ),
    "freed image": lambda layer, image: (image.untyped_storage().resize_(0), layer(image)),
    "freed weight": after(lambda layer: layer.weight.untyped_storage().resize_(0)),
    "list": having(stride=[2, 1]),
    "changed list": changed_list,
    "true": having(stride=True),
    "fraction": having(padding=(1.0, 1)),
    "three numbers": having(dilation=(1, 1, 1)),
    "tensor": having(groups=torch.tensor(1)),
    "groups": having(groups=3),
    "no stride": having(stride=0),
    "negative padding": having(padding=-1),
    "huge padding": having(padding=1 << 62),
    "beyond 64 bits": having(groups=1 << 64),
    "same": having(padding="same"),
    "valid": having(padding="valid"),
    "reflect": after(
        lambda layer: layer.__dict__.update(
            padding_mode="reflect", _reversed_padding_repeated_twice=[1, 1, 1, 1]
        )
    ),
}


# ---------------------------------------------------------------------------------------- tests


def outcome(situation: Situation, layer: nn.Conv2d, image: Tensor) -> Any:
    with torch.no_grad():
        try:
            return situation(layer, image)
        except Exception as error:
            return type(error), str(error)


def assert_alike(got: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert type(got) is type(expected)
        assert got.requires_grad == expected.requires_grad
        if expected.device.type != "meta":
            assert torch.equal(got, expected)
        assert (got.dtype, got.shape, got.stride()) == (
            *(expected.dtype, expected.shape),
            expected.stride(),
        )
    elif isinstance(expected, tuple) and any(isinstance(part, Tensor) for part in expected):
        for part, expected_part in zip(got, expected, strict=True):
            assert_alike(part, expected_part)
    else:
        assert got == expected


@pytest.mark.parametrize("situation", [*AT_ONCE, *LAUNCHED])
def test_a_call_at_once_is_what_the_long_way_makes_of_it(
    situation: str,
    layer: cnnext.Conv2d,
    image: Tensor,
    launches: list[str],
    fallbacks: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = (AT_ONCE | LAUNCHED)[situation]
    other, same_image = copy.deepcopy(layer), image.clone()
    with torch.no_grad():
        layer(image)
    assert not launches
    got = outcome(call, layer, image)
    assert (situation in LAUNCHED) == bool(launches)
    monkeypatch.setattr(conv2d_ops, "call_at_once", lambda *args: None)
    assert_alike(got, outcome(call, other, same_image))


def test_a_list_is_never_taken_for_what_it_was(layer: cnnext.Conv2d, image: Tensor) -> None:
    with torch.no_grad():
        expected = nn.functional.conv2d(image, layer.weight, layer.bias, (2, 1), 1).shape
        assert changed_list(layer, image).shape == expected


def test_all_layers_of_a_network_go_at_once(image: Tensor, launches: list[str]) -> None:
    model = nn.Sequential(cnnext.Conv2d(8, 8, 3), nn.ReLU(), cnnext.Conv2d(8, 4, 1)).eval()
    with torch.no_grad():
        assert torch.equal(model(image), model(image))
    assert not launches


def test_planned_calls_refuse_another_number_of_numbers(image: Tensor) -> None:
    weight = torch.ones(4, 8, 3, 3)
    with pytest.raises(RuntimeError, match=r"geometry must have 7 numbers, but is \[1, 1\]"):
        torch.ops.cnnext.conv2d_planned(image, weight, None, (1, 1), 1, -1)

"""Models that torch.fx cannot trace as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnext.optimization.capture import captured
from cnnext.optimization.weights import attribute
from tests.optimization.support import assert_close, randomized, reference, run_captured


class Block(nn.Module):
    def __init__(self, c_in: int = 3) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(c_in, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Deciding(nn.Module):
    """Takes one of two ways, by the values of its input."""

    def __init__(self, c_in: int = 3) -> None:
        super().__init__()
        self.ways = nn.ModuleList(Block(c_in) for _ in range(2))
        self.shift = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.ways[int(x.sum() > 0)](x) + self.shift


class WithDeciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = Block(), Deciding(4), Block(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)))


class Recursive(nn.Module):
    """Cannot be traced, and neither can what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"a": Deciding(), "b": Block()})

    def forward(self, x: Tensor) -> Tensor:
        return self.inner["a"](x) if x.min() < 0 else self.inner["b"](x)


class Keyworded(nn.Module):
    """A block that its caller may give an option."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor, scale: float = 1.0, mask: Tensor | None = None) -> Tensor:
        y = self.block(x)
        return y if mask is None else y * mask * scale


class Calling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Keyworded()

    def forward(self, x: Tensor) -> Tensor:
        assert x.sum() != 0
        y = self.inner(x, mask=None)
        return y + self.inner(x, 2.0, torch.ones_like(y))


UNTRACEABLE: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "deciding": (Deciding, 2),
    "with-deciding": (WithDeciding, 4),
    "recursive": (Recursive, 3),
    "calling": (Calling, 1),
}


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_holds_what_can(name: str, sign: int) -> None:
    build, parts = UNTRACEABLE[name]
    model = randomized(build())
    x = torch.rand(2, 3, 12, 12) * sign
    expected = reference(model, x)
    whole = captured(model, x)
    assert len(whole.parts) == parts
    assert "cannot be traced" in " ".join(each.reason for each in whole.native)
    assert_close(run_captured(whole, model, x), expected)


def test_a_parameter_that_is_replaced_in_what_cannot_be_traced_is_seen() -> None:
    model = randomized(Deciding())
    whole, x = captured(model), torch.randn(2, 3, 12, 12)
    model.shift = nn.Parameter(torch.full((1,), 7.0))
    with torch.no_grad():
        assert torch.equal(whole.module(x), model(x))


class Scaling(nn.Module):
    """Reads its own tensors, and one of a module that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.held = Block(), nn.Module()
        self.filter = nn.Parameter(torch.randn(4, 3, 1, 1))
        self.held.scale = nn.Parameter(torch.randn(4, 1, 1))
        self.register_buffer("shift", torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return (
            torch.sin(self.block(x)) * self.held.scale
            + F.conv2d(x, self.filter, self.shift)[:, :, 1:-1, 1:-1]
        )


@pytest.mark.parametrize("path", ["filter", "shift", "held.scale"])
def test_a_tensor_that_is_replaced_in_what_was_traced_is_seen(path: str) -> None:
    model, x = randomized(Scaling()), torch.randn(2, 3, 12, 12)
    whole = captured(model, x)
    owner, _, name = path.rpartition(".")
    old = attribute(model, path)
    new = nn.Parameter(old * 3) if path != "shift" else old * 3
    setattr(model.get_submodule(owner), name, new)
    with torch.no_grad():
        assert torch.equal(whole.module(x), model(x))


@pytest.mark.parametrize("build", [Block, Deciding, WithDeciding, Keyworded])
def test_the_model_is_not_changed(build: Callable[[], nn.Module]) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * torch.arange(4.0).reshape(4, 1, 1)

    model = randomized(Constant())
    everything = {name: dict(vars(module)) for name, module in model.named_modules()}
    state = copy.deepcopy(model.state_dict())
    captured(model)
    for name, module in model.named_modules():
        assert vars(module).keys() == everything[name].keys()
        assert all(value is everything[name][key] for key, value in vars(module).items())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_a_tensor_that_is_made_meanwhile_is_kept() -> None:
    class Ramp(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) * torch.arange(3.0).reshape(3, 1, 1)

    model, x = Ramp().eval(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        assert torch.equal(captured(model).module(x), model(x))


def test_arguments_that_are_not_given_are_fixed() -> None:
    model, x = randomized(Keyworded()), torch.randn(2, 3, 12, 12)
    whole = captured(model, x)
    assert whole.fixed == {"scale": 1.0, "mask": None}
    assert len(whole.parts) == 1
    assert not whole.native
    mask = torch.rand(4, 1, 1)
    whole = captured(model, (x, 3.0, mask))
    assert whole.fixed == {}
    with torch.no_grad():
        assert torch.equal(whole.module(x, 3.0, mask), model(x, 3.0, mask))


def test_hooks_that_are_registered_later_stay_where_they_are() -> None:
    model = randomized(Deciding())
    inside = captured(model).module
    for module in inside.modules():
        if isinstance(module, Deciding | nn.ModuleList | Block):
            module.register_forward_hook(lambda *_: None)
    assert not any(module._forward_hooks for module in model.modules())


class Patching(nn.Module):
    """Sees what goes into its layers by replacing their methods while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        conv = self.block.conv
        forward = conv.forward
        conv.forward = lambda input: forward(seen.append(input) or input)  # type: ignore
        self.block(x if x.numel() else x)
        del conv.forward
        return seen[0] if x.sum() > 0 else seen[0] + 1


class Probing(nn.Module):
    """Does for tensors what it does not for proxies."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) if isinstance(x, Tensor) else self.block(x) + 1


@pytest.mark.parametrize("build", [Patching, Probing])
def test_an_example_shows_that_a_trace_is_wrong(build: Callable[[], nn.Module]) -> None:
    model, x = randomized(build()), torch.randn(2, 3, 12, 12)
    expected = reference(model, x)
    assert_close(run_captured(captured(model, x), model, x), expected)


def drop_path(x: Tensor, training: bool) -> Tensor:
    return x * torch.rand(1) if training else x


def signed(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


torch.fx.wrap("drop_path")
torch.fx.wrap("signed")


class Wrapping(nn.Module):
    """Calls functions that are marked as not to be traced: only one cannot be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return signed(drop_path(self.conv(x), self.training).relu())


def test_functions_that_are_marked_are_traced_where_that_is_possible() -> None:
    model, x = Wrapping().eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model, x)
    assert [each.call for each in whole.native] == ["signed"]
    assert len(whole.parts) == 1
    assert_close(run_captured(whole, model, x), reference(model, x))


class Listing(nn.Module):
    """C2f's way of making a list of pieces."""

    def __init__(self, pieces: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.stem, self.block, self._pieces = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 3, 1), pieces

    def forward(self, x: Tensor) -> Tensor:
        pieces = list(self._pieces(self.stem(x)))
        pieces.extend(self.block(pieces[-1]) for _ in range(2))
        return torch.cat(pieces, 1)


PIECES: dict[str, Callable[[Tensor], Any]] = {
    "chunk": lambda x: x.chunk(2, 1),
    "chunks-by-name": lambda x: torch.chunk(x, chunks=2, dim=1),
    "split": lambda x: x.split((3, 3), 1),
    "split-by-name": lambda x: torch.split(x, split_size_or_sections=[3, 3], dim=1),
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces_are_listed(name: str) -> None:
    model, x = Listing(PIECES[name]).eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model)
    assert not whole.native
    assert len(whole.parts) == 1
    assert_close(run_captured(whole, model, x), reference(model, x))


# ----------------------------------------------------------------------------- in-place calls


class InPlace(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.elu, self._function = nn.ELU(inplace=True), function

    def forward(self, x: Tensor) -> Any:
        return self._function(self, self.conv(x))


def read_before(model: Any, y: Tensor) -> Tensor:
    z = torch.tanh(y)
    return z + model.relu(y)


def read_after(model: Any, y: Tensor) -> Tensor:
    z = model.relu(y)
    return torch.tanh(y) + z


def read_after_native(model: Any, y: Tensor) -> Tensor:
    model.elu(y)
    return torch.tanh(y)


def read_before_native(model: Any, y: Tensor) -> Tensor:
    z = torch.tanh(y)
    model.elu(y)
    return z + y


def twice(model: Any, y: Tensor) -> Tensor:
    y += torch.sigmoid(y)
    F.relu_(y)
    y.add_(y)
    F.hardtanh(y, -1.0, 1.0, True)
    torch.sigmoid_(y)
    return y


def by_another_name(model: Any, y: Tensor) -> Tensor:
    flat = y.flatten(1)
    model.relu(flat)
    return torch.tanh(y)


def piece(model: Any, y: Tensor) -> Tensor:
    a, b = y.chunk(2, 1)
    a += b
    return torch.cat([a, b], 1)


def piece_of_what_is_read(model: Any, y: Tensor) -> Tensor:
    a, b = y.chunk(2, 1)
    a += b
    return y


def sum_of_what_is_read(model: Any, y: Tensor) -> Tensor:
    z = torch.tanh(y)
    z += y
    return z + y


def upsampled_to_the_size(model: Any, y: Tensor) -> Tensor:
    """Neither what is upsampled nor a size lies in the memory of a value."""
    z = F.interpolate(model.relu(y), size=y.shape[2:])
    z += 1
    return y + z[:, :, : y.size(2)]


def normalized(model: Any, y: Tensor) -> Tensor:
    """Has an argument `out`, which is not given."""
    return F.normalize(model.relu(y + 1))


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        *((upsampled_to_the_size, 1), (normalized, 1)),
        *((read_before, 1), (read_after, 1), (read_after_native, 1), (read_before_native, 1)),
        *(
            (twice, 1),
            (by_another_name, 0),
            (piece, 0),
            (piece_of_what_is_read, 0),
            (sum_of_what_is_read, 1),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_in_place_calls(function: Callable[..., Any], parts: int) -> None:
    model = InPlace(function).eval()
    x = torch.randn(2, 3, 8, 8)
    expected = reference(model, x)
    whole = captured(model, x)
    assert len(whole.parts) == parts
    with torch.no_grad():
        torch.testing.assert_close(whole.module(x), model(x))
    assert_close(run_captured(whole, model, x), expected)
    assert model.relu.inplace and model.elu.inplace


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return [features[0], *features[2:]]


def test_what_is_returned_together_does_not_lie_together() -> None:
    model, x = Encoder().eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model)
    assert len(whole.parts) == 1
    assert not whole.native
    assert_close(run_captured(whole, model, x), reference(model, x))


def test_an_argument_that_is_overwritten_stays_so() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)).eval()
    x = torch.randn(2, 3, 8, 8)
    captured(model, x)
    assert (x < 0).any()
    captured(model, x).module(x)
    assert (x >= 0).all()

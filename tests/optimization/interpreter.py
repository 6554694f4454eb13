"""What a program computes, by torch.nn.functional: the specification of its operators.

Read line by line, with no knowledge of how a program is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def interpret(
    program: str,
    weights: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """The outputs of a program, computed in a dtype."""
    values: dict[str, Tensor] = {}
    given = iter(inputs)
    for line in program.splitlines():
        operator, *words = line.split()
        if operator == "output":
            assert next(given, None) is None, "there are more inputs than the program takes"
            return [values[word] for word in words]
        result, *operands = (word for word in words if "=" not in word)
        attributes = dict(word.split("=") for word in words if "=" in word)
        assert result not in values, f"{result} is written twice"
        if operator == "input":
            values[result] = next(given).to(dtype)
            continue
        call = Call(attributes, weights, dtype)
        values[result] = OPERATORS[operator](call, *(values[each] for each in operands))
        assert not call.unread, f"{operator} has no {call.unread}"
    raise AssertionError("there is no output")


class Call:
    """The attributes of a line."""

    def __init__(
        self, attributes: dict[str, str], weights: Sequence[Tensor | None], dtype: torch.dtype
    ) -> None:
        self._attributes = attributes
        self._weights = weights
        self._dtype = dtype
        self.unread = set(attributes)

    def word(self, name: str) -> str | None:
        self.unread.discard(name)
        return self._attributes.get(name)

    def ints(self, name: str) -> tuple[int, ...]:
        word = self.word(name)
        assert word is not None, f"{name} is missing"
        return tuple(map(int, word.split(",")))

    def int(self, name: str) -> int:
        (number,) = self.ints(name)
        return number

    def weight(self, name: str) -> Tensor | None:
        word = self.word(name)
        if word is None:
            return None
        weight = self._weights[int(word)]
        assert weight is not None
        return weight.to(self._dtype)

    def activated(self, value: Tensor) -> Tensor:
        word = self.word("activation")
        if word is None:
            return value
        name, *parameters = word.split(",")
        return ACTIVATIONS[name](value, *map(float, parameters))

    def finished(self, sums: Tensor, *residual: Tensor) -> Tensor:
        """The epilogue: activation and residual in either order, then the pool."""
        place = self.word("residual")
        assert (place is None) == (not residual)
        if place == "before":
            sums = sums + _alike(residual[0], sums)
        value = self.activated(sums)
        if place == "after":
            value = value + _alike(residual[0], value)
        pool = self.word("pool")
        if pool is None:
            return value
        assert pool == "2" and place is None
        return F.max_pool2d(value, 2, 2)


def _alike(value: Tensor, other: Tensor) -> Tensor:
    assert value.shape == other.shape, f"{tuple(value.shape)} and {tuple(other.shape)}"
    return value


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "clamp": F.hardtanh,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


def conv2d(call: Call, x: Tensor, *others: Tensor) -> Tensor:
    x, residual = prepared(call, x, *others)
    weights = (call.weight("weight"), call.weight("bias"))
    geometry = (call.ints("stride"), call.ints("padding"), call.ints("dilation"))
    return call.finished(F.conv2d(x, *weights, *geometry, call.int("groups")), *residual)


def prepared(call: Call, x: Tensor, *others: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the prologue makes of x, and the operands that it has not taken."""
    scale, shift, relu = call.word("x_scale"), call.weight("x_shift"), call.word("x_activation")
    if scale is None:
        assert shift is None and relu is None
        return x, others
    if scale == "f":
        factors, *others = others
        assert factors.shape == (*x.shape[:2], 1, 1)
    else:
        factors = call.weight("x_scale").reshape(-1, 1, 1)
    x = x * factors
    if shift is not None:
        x = x + shift.reshape(-1, 1, 1)
    assert relu in (None, "relu")
    return x if relu is None else F.relu(x), tuple(others)


def linear(call: Call, x: Tensor, *residual: Tensor) -> Tensor:
    assert x.dim() in (2, 3)
    return call.finished(F.linear(x, call.weight("weight"), call.weight("bias")), *residual)


def conv_transpose2d(call: Call, x: Tensor) -> Tensor:
    weights = (call.weight("weight"), call.weight("bias"))
    geometry = (call.ints("stride"), call.ints("padding"), call.ints("output_padding"))
    rest = (call.int("groups"), call.ints("dilation"))
    return call.activated(F.conv_transpose2d(x, *weights, *geometry, *rest))


def max_pool2d(call: Call, x: Tensor) -> Tensor:
    geometry = (call.ints("kernel"), call.ints("stride"), call.ints("padding"))
    return F.max_pool2d(x, *geometry, call.ints("dilation"), bool(call.int("ceil_mode")))


def avg_pool2d(call: Call, x: Tensor) -> Tensor:
    geometry = (call.ints("kernel"), call.ints("stride"), call.ints("padding"))
    modes = (bool(call.int("ceil_mode")), bool(call.int("count_include_pad")))
    return F.avg_pool2d(x, *geometry, *modes, call.int("divisor_override") or None)


def adaptive_avg_pool2d(call: Call, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, call.ints("size"))


def activation(call: Call, x: Tensor) -> Tensor:
    return call.activated(x)


def add(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return call.activated(a + _alike(b, a))


def multiply(call: Call, a: Tensor, b: Tensor) -> Tensor:
    assert b.shape in (a.shape, (*a.shape[:2], 1, 1))
    return a * b


def scale_shift(call: Call, x: Tensor) -> Tensor:
    scale, shift = call.weight("scale"), call.weight("shift")
    assert scale is not None and shift is not None
    per_channel = (1, -1, *[1] * (x.dim() - 2))
    return call.activated(x * scale.reshape(per_channel) + shift.reshape(per_channel))


def concat(call: Call, *values: Tensor) -> Tensor:
    return torch.cat(values, 2 if values[0].dim() == 3 else 1)


def channel_range(call: Call, x: Tensor) -> Tensor:
    start, stop = call.int("from"), call.int("to")
    dim = 2 if x.dim() == 3 else 1
    assert 0 <= start < stop <= x.shape[dim]
    return x.narrow(dim, start, stop - start)


def flatten(call: Call, x: Tensor) -> Tensor:
    return x.flatten(1)


def softmax(call: Call, x: Tensor) -> Tensor:
    return x.softmax(1)


def log_softmax(call: Call, x: Tensor) -> Tensor:
    return x.log_softmax(1)


def shuffle(call: Call, x: Tensor) -> Tensor:
    return F.channel_shuffle(x, call.int("groups"))


def pixel_shuffle(call: Call, x: Tensor) -> Tensor:
    return F.pixel_shuffle(x, call.int("upscale"))


def upsample_nearest(call: Call, x: Tensor, *like: Tensor) -> Tensor:
    return resized(call, x, *like, mode="nearest")


def upsample_bilinear(call: Call, x: Tensor, *like: Tensor) -> Tensor:
    corners = call.word("align_corners") == "1"
    return resized(call, x, *like, mode="bilinear", align_corners=corners)


def resized(call: Call, x: Tensor, *like: Tensor, **mode: Any) -> Tensor:
    size, scale = call.word("size"), call.word("scale")
    assert len(like) + (size is not None) + (scale is not None) == 1
    if like:
        return F.interpolate(x, like[0].shape[2:], **mode)
    if size is not None:
        return F.interpolate(x, tuple(map(int, size.split(","))), **mode)
    assert scale is not None
    recompute = call.word("recompute_scale_factor") == "1"
    factors = tuple(map(float, scale.split(",")))
    return F.interpolate(x, None, factors, recompute_scale_factor=recompute, **mode)


def pad(call: Call, x: Tensor) -> Tensor:
    return F.pad(x, call.ints("padding"))


def rows(call: Call, x: Tensor) -> Tensor:
    height = call.word("height")
    assert x.dim() == 4 and height in (None, str(x.shape[2]))
    return x.flatten(2).transpose(1, 2)


def transpose(call: Call, x: Tensor) -> Tensor:
    assert x.dim() == 3
    return x.transpose(0, 1)


def step(call: Call, x: Tensor) -> Tensor:
    assert x.dim() == 3
    return x.select(call.int("dim"), call.int("index"))


def recurrence(call: Call, x: Tensor) -> Tensor:
    """By torch's layer with these weights."""
    assert x.dim() == 3
    cell = call.word("cell")
    directions = [end for end in ("", "_reverse") if f"weight_ih{end}" in call.unread]
    weights = {
        f"{role}_l0{end}": weight
        for end in directions
        for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if (weight := call.weight(role + end)) is not None
    }
    options: dict[str, Any] = {"bias": "bias_ih_l0" in weights, "dtype": x.dtype}
    options["bidirectional"] = len(directions) == 2
    sizes = (x.shape[2], weights["weight_hh_l0"].shape[1])
    layer: nn.RNNBase
    if cell in ("lstm", "gru"):
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](*sizes, **options)
    else:
        assert cell in ("rnn_tanh", "rnn_relu")
        layer = nn.RNN(*sizes, nonlinearity=cell.removeprefix("rnn_"), **options)
    layer.load_state_dict(weights)
    y: Tensor = layer(x)[0]
    return y.detach()


OPERATORS: dict[str, Callable[..., Any]] = {
    operator.__name__: operator
    for operator in (conv2d, linear, conv_transpose2d, max_pool2d, avg_pool2d)
    + (adaptive_avg_pool2d, activation, add, multiply, scale_shift, concat, flatten, softmax)
    + (upsample_nearest, upsample_bilinear, pad, rows, transpose, step, recurrence)
    + (shuffle, pixel_shuffle, log_softmax)
} | {"slice": channel_range}

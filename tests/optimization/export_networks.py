"""Networks that torch.fx cannot trace, and torch.export can."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Block(nn.Module):
    def __init__(self, c_in: int = 3, c_out: int = 4, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, **options)
        self.norm, self.act = nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != self.conv.in_channels:  # what torch.fx cannot trace
            raise ValueError(f"expected {self.conv.in_channels} channels")
        return self.act(self.norm(self.conv(x)))


class Base(nn.Module):
    """One block, and what a derived class makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Block(), Block(4)
        self.head = nn.Linear(4, 5)


class OnShape(Base):
    """Takes one of two ways, by the size of the image."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if x.shape[2] > 20:
            x = F.max_pool2d(x, 2)
        return self.second(x)


class Asserting(Base):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3, "three channels"
        x = self.second(self.first(x))
        return self.head(x.mean(dim=[2, 3]))


@dataclasses.dataclass
class Output:
    logits: Tensor
    hidden: list[Tensor]
    loss: Tensor | None = None
    name: str = "output"


class Structured(Base):
    """Returns an object, of which all but tensors is fixed."""

    def forward(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        return_dict: bool = True,
        **options: Any,
    ) -> Any:
        hidden = [self.first(x)]
        hidden.append(self.second(hidden[0]))
        pooled = F.adaptive_avg_pool2d(hidden[1], 1)
        logits = self.head(pooled.reshape(pooled.shape[0], -1))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if not return_dict:
            return logits, hidden, options.get("scale")
        return Output(logits, hidden, loss)


class Looping(Base):
    """Handles each channel by itself."""

    def forward(self, *images: Tensor) -> dict[str, Any]:
        x = sum(images[1:], images[0])
        x = self.first(x)
        pieces = [F.silu(x[:, i : i + 1]) for i in range(x.size(1))]
        return {"y": self.second(torch.cat(pieces, 1)), "size": x.shape[-1], "none": None}


class Heads(Base):
    """Every operator that is called otherwise than a function of torch is."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.same = nn.Conv2d(4, 6, 3, padding="same")
        self.drop, self.tail = nn.Dropout(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.first(x), (1, 0, 1, 0))
        x = F.hardtanh(self.up(x)) + F.interpolate(x, scale_factor=2, mode="bilinear")
        x = x + F.interpolate(F.avg_pool2d(x, 2), scale_factor=2)
        a, b = x.chunk(2, 1)
        c, d = x.split([1, 3], 1)
        x = F.gelu(self.same(torch.cat([b, a], 1) * torch.cat([d, c], 1).sigmoid()))
        x = F.dropout2d(F.leaky_relu(x, 0.2), training=False).clamp(-0.5, 2.0)
        x = self.drop(F.hardswish(x)).to(x.dtype).contiguous().mean((2, 3))
        return F.softmax(self.tail(x.view(x.size(0), -1)), dim=-1)


class InPlace(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.second(y)
        z += y
        z.mul_(torch.tanh(z))
        return F.relu_(z)


class Constants(Base):
    """Uses tensors that are no parameters, and one filter twice."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(4, 1, 1))
        self.shift = nn.Parameter(torch.rand(4, 1, 1))
        self.second.conv.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.third = Block(4)
        self.third.conv.weight = self.second.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) * self.scale + self.shift
        x = x * torch.tensor([1.0, -2.0, 3.0, 0.5]).reshape(4, 1, 1)
        return self.third(self.second(x) * torch.arange(x.shape[3]))


class Parametrized(Base):
    def __init__(self) -> None:
        super().__init__()
        self.second.conv = parametrizations.weight_norm(self.second.conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


MODELS: tuple[Callable[[], nn.Module], ...] = (
    *(OnShape, Asserting, Structured, Looping, Heads, InPlace, Constants, Parametrized),
)


class OneImage(Base):
    """Does for one image what torch.export never sees, as it takes no size for one."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y * 2 if x.shape[0] == 1 else y


def leaves(result: Any) -> list[Any]:
    if isinstance(result, Output):
        result = [result.logits, *result.hidden, result.loss, result.name]
    return torch.utils._pytree.tree_leaves(result)

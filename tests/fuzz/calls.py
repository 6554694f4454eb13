"""A call of an operator as plain data: what is drawn, stored in JSON, and run again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cnnext.testing.errors import INPUT_KINDS
from cnnext.testing.specs import SPECS
from tests.ops.support import VIEWS_4D, Tensors

SPECIALS = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 1.0)


def _special(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Half of the values are NaN, infinite, zero of either sign, or tie with others."""
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    choice = torch.randint(2 * len(SPECIALS), shape, generator=generator)
    for index, special in enumerate(SPECIALS):
        values[choice == index] = special
    return values


def _expanded(t: Tensor) -> Tensor:
    """One element along the first axis, as often as the size says."""
    return t[:1].expand(t.shape) if t.dim() and t.shape[0] else t


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {**VIEWS_4D, "expanded": _expanded}
ONLY_4D = ("channels_last", "channels_last_cropped", "rows_first")
KINDS = (*INPUT_KINDS, "special")
DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "float64", "float16", "bfloat16", "int64", "complex64")
}


@dataclass(frozen=True)
class Operand:
    """A tensor: its values are those of its kind, drawn by the seed of the call.

    A weight is scaled so that the output has the input's variance.
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    view: str = "dense"
    dtype: str = "float32"
    grad: bool = False
    weight: bool = False
    positive: bool = False

    def build(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        make = _special if self.kind == "special" else INPUT_KINDS[self.kind]
        values = make(self.shape, generator)
        if self.positive:
            values = values.abs()
        if self.weight:
            values = values / math.sqrt(max(1, math.prod(self.shape[1:])))
        values = values.to(DTYPES[self.dtype])
        return VIEWS[self.view](values) if self.is_viewable else values

    @property
    def is_viewable(self) -> bool:
        """Whether the view is one of such a tensor; otherwise it comes dense."""
        if self.view in ONLY_4D and len(self.shape) != 4:
            return False
        if self.view == "negated" and self.dtype not in ("float32", "float64"):
            return False
        return len(self.shape) > 0 and self.dtype != "int64"


@dataclass(frozen=True)
class Call:
    """`order` is how often it is differentiated; `gradient` the view that the seeds come in."""

    op: str
    operands: tuple[Operand | None, ...]
    options: dict[str, Any]
    order: int = 0
    gradient: str = "dense"
    threads: int = 1
    kernel: tuple[str, str] | None = None  # an operator, and the name of its kernel
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Call:
        fields = json.loads(text)
        operands = tuple(
            None if o is None else Operand(**{**o, "shape": tuple(o["shape"])})
            for o in fields.pop("operands")
        )
        kernel = fields.pop("kernel")
        return Call(operands=operands, kernel=kernel and tuple(kernel), **fields)

    def positive(self) -> Call:
        """The same call without cancellation in its sums."""
        operands = tuple(o and replace(o, positive=True) for o in self.operands)
        return replace(self, operands=operands)

    def build(self) -> list[Tensor | None]:
        seeds = range(1000 * self.seed, 1000 * self.seed + len(self.operands))
        return [o and o.build(seed) for o, seed in zip(self.operands, seeds, strict=True)]

    def apply(self, library: Any, operands: list[Any]) -> Tensors:
        """The outputs, whatever the operator returns."""
        if self.options.get("inplace") is True and isinstance(operands[0], Tensor):
            operands = [VIEWS[self._operand_view()](operands[0]), *operands[1:]]
        outputs = SPECS[self.op].apply(library, operands, **self.options)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def _operand_view(self) -> str:
        """What makes a view of new memory, to write to, like the first operand's own."""
        operand = self.operands[0]
        assert operand is not None
        if not operand.is_viewable:
            return "dense"
        return {"dense": "offset", "negated": "sliced"}.get(operand.view, operand.view)

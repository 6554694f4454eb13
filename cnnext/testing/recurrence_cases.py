"""The recurrences of `cnnext.testing.specs.recurrence`: every cell, in either direction, packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.recurrence_formulas import Cell
from cnnext.ops.recurrence import recurrence
from cnnext.testing.cases import Case, Shape
from cnnext.testing.spec import NATIVE, Tensors

_BY_ATEN: dict[Cell, Any] = {
    Cell.LSTM: torch._VF.lstm,
    Cell.GRU: torch._VF.gru,
    Cell.RNN_TANH: torch._VF.rnn_tanh,
    Cell.RNN_RELU: torch._VF.rnn_relu,
}


@dataclass(frozen=True)
class RecurrenceCase(Case):
    """One layer; `sizes_of_steps` is how many of the sequences each step has, if not all."""

    steps: int
    batch: int
    input: int
    hidden: int
    sizes_of_steps: tuple[int, ...] | None = None
    reverse: bool = False
    cell: Cell = Cell.LSTM

    @property
    def rows(self) -> int:
        return sum(self.sizes_of_steps or (self.batch,) * self.steps)

    @property
    def input_shape(self) -> tuple[int, int]:
        return (self.rows, self.input)

    @property
    def operand_shapes(self) -> tuple[Shape | None, ...]:
        state, gates = (self.batch, self.hidden), self.cell.gates * self.hidden
        c0 = state if self.cell is Cell.LSTM else None
        return (
            self.input_shape,
            state,
            c0,
            (gates, self.input),
            (gates, self.hidden),
            (gates,),
            (gates,),
        )

    @property
    def batch_sizes(self) -> Tensor | None:
        return None if self.sizes_of_steps is None else torch.tensor(self.sizes_of_steps)

    def with_batch(self, batch: int) -> RecurrenceCase:
        """Another number of sequences, of equal lengths."""
        return replace(self, name=f"{self.name}_b{batch}", batch=batch)

    def of(self, cell: Cell) -> RecurrenceCase:
        """With that cell, whose name comes first."""
        name = self.name.rpartition("-")[2]
        return replace(self, name=f"{cell.name.lower()}-{name}", cell=cell)

    def reversed(self) -> RecurrenceCase:
        return replace(self, name=f"{self.name}_reverse", reverse=True)

    def backwards_in_time(self) -> Tensor:
        """For each row, the row of the same sequence as far from its other end."""
        sizes = self.sizes_of_steps or (self.batch,) * self.steps
        lengths = [sum(size > i for size in sizes) for i in range(self.batch)]
        offsets = [sum(sizes[:step]) for step in range(len(sizes))]
        return torch.tensor(
            [offsets[lengths[i] - 1 - t] + i for t, size in enumerate(sizes) for i in range(size)],
            dtype=torch.int64,
        )


def packed(name: str, sizes: tuple[int, ...], input: int, hidden: int) -> RecurrenceCase:
    return RecurrenceCase(name, len(sizes), sizes[0], input, hidden, sizes)


def of_every_cell(*cases: RecurrenceCase) -> tuple[RecurrenceCase, ...]:
    return tuple(case.of(cell) for case in cases for cell in Cell)


def function_of(case: RecurrenceCase) -> Callable[[Any, Sequence[Any]], Tensors]:
    """The output, the last h and, of the LSTM, the last c; a library may have its own function."""

    def function(library: Any, operands: Sequence[Any]) -> Tensors:
        if library is NATIVE:
            return _by_aten(case, operands)
        x, *states = (operand for operand in operands[:3] if operand is not None)
        apply = getattr(library, "recurrence", recurrence)
        return tuple(apply(case.cell, x, states, operands[3:], case.batch_sizes, case.reverse))

    return function


def _by_aten(case: RecurrenceCase, operands: Sequence[Any]) -> Tensors:
    """As `torch.nn.LSTM` and its kin would; in reverse, on sequences turned round."""
    x, h0, c0, *weights = operands
    if case.reverse:
        x = x[case.backwards_in_time()]
    given = [weight for weight in weights if weight is not None]
    hx = h0[None] if c0 is None else (h0[None], c0[None])
    options = (given, len(given) == 4, 1, 0.0, False, False)
    if case.sizes_of_steps is None:
        steps = x.view(case.steps, case.batch, case.input)
        output, *lasts = _BY_ATEN[case.cell](steps, hx, *options, False)
        output = output.reshape(case.rows, case.hidden)
    else:
        output, *lasts = _BY_ATEN[case.cell](x, case.batch_sizes, hx, *options)
    if case.reverse:
        output = output[case.backwards_in_time()]
    return (output, *(last[0] for last in lasts))


_PLAIN = RecurrenceCase("plain", 4, 3, 5, 4)
_PACKED = packed("packed", (4, 4, 2, 1, 1), 5, 4)

_LSTM, _GRU, _RNN_TANH, _RNN_RELU = Cell
TYPICAL = (
    *(_PLAIN.of(_LSTM), _PLAIN.reversed().of(_GRU)),
    *(_PLAIN.of(_RNN_TANH), _PLAIN.reversed().of(_RNN_RELU)),
)
PACKED = of_every_cell(_PACKED, _PACKED.reversed())
#: Every cell, with sequences of equal lengths and of others, in both directions.
EACH_WAY = (*of_every_cell(_PLAIN, _PLAIN.reversed()), *PACKED)
EDGE = (
    *EACH_WAY,
    *of_every_cell(
        RecurrenceCase("one", 1, 1, 5, 9),
        RecurrenceCase("step", 1, 9, 17, 33),
        RecurrenceCase("wide", 3, 2, 37, 70),
        RecurrenceCase("many_steps", 70, 11, 6, 20),
        packed("many_sequences", (67, 50, 50, 33, 1), 20, 18).reversed(),
        RecurrenceCase("large", 9, 20, 130, 128),
    ),
)
CORNERS = of_every_cell(
    RecurrenceCase("one_of_all", 1, 1, 1, 1), RecurrenceCase("no_features", 4, 3, 0, 4)
)
TINY = of_every_cell(
    RecurrenceCase("tiny", 2, 2, 2, 1),
    RecurrenceCase("tiny", 2, 2, 1, 2).reversed(),
    packed("tiny_packed", (3, 1), 2, 1),
    packed("tiny_packed", (3, 1), 1, 1).reversed(),
)

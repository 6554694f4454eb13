"""One small call of each operator, for the tests that treat all alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cnnext.runtime.operator import OPERATORS

OPS = tuple(sorted(op.name for op in OPERATORS.values() if op.function is not None))


def operands_of(op: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Small integers: exact in every dtype, also where sums are rounded."""

    def values(*shape: int) -> Tensor:
        return torch.randint(-3, 4, shape).to(dtype)

    image = lambda: (values(2, 3, 5, 5),)  # noqa: E731

    def cell(gates: int) -> tuple[Tensor, ...]:
        rows = 4 * gates
        return values(2, 3), values(2, 4), values(rows, 3), values(rows, 4), *biases(rows)

    def biases(rows: int) -> tuple[Tensor, ...]:
        return values(rows), values(rows)

    return {
        "adaptive_avg_pool2d": image,
        "adaptive_max_pool2d": image,
        "avg_pool2d": image,
        "conv2d": lambda: (values(2, 3, 5, 5), values(4, 3, 2, 2), values(4)),
        "gru_cell": lambda: cell(3),
        "linear": lambda: (values(2, 3), values(4, 3), values(4)),
        "lstm_cell": lambda: (
            values(2, 3),
            values(2, 4),
            values(2, 4),
            values(16, 3),
            values(16, 4),
            values(16),
            values(16),
        ),
        "max_pool2d": image,
        "relu": image,
        "rnn_relu_cell": lambda: cell(1),
        "rnn_tanh_cell": lambda: cell(1),
    }[op]()


def call(library: Any, op: str, *operands: Any) -> Any:
    if op == "lstm_cell":
        x, h, c, *parameters = operands
        return library.lstm_cell(x, (h, c), *parameters)
    if "pool" in op:
        return getattr(library, op)(*operands, 2)
    return getattr(library, op)(*operands)

"""linear: the formulas of csrc/linear/linear.h."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from problem import Operands, Results, Sums, with_gaps, without_gaps


@dataclass(frozen=True)
class Linear(Sums):
    m: int
    n: int
    k: int
    large: bool = False

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"

    @property
    def shape(self) -> Shape:
        return {"m": self.m, "n": self.n, "k": self.k}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": (self.m, self.k), "w": (self.n, self.k), "y": (self.m, self.n)}

    def terms(self, direction: str) -> int:
        return {"forward": self.k + 1, "bwd_input": self.n, "bwd_weight": self.m}[direction]

    def exact(self, direction: str, operands: Operands) -> Array:
        x, w, dy = operands.x, operands.w, operands.dy
        if direction == "forward":
            return x @ w.T + (0 if operands.b is None else operands.b)
        return dy @ w if direction == "bwd_input" else dy.T @ x

    def run(self, kernel: Kernel, operands: Operands, *, threads: int) -> Results:
        packed = replace(operands, x=with_gaps(operands.x, operands.x_pixel))
        result = kernel.run(
            *packed.read_by(kernel.direction),
            threads=threads,
            **operands.options(),
            **operands.finish(np.ascontiguousarray),
            **self.shape,
        )
        if operands.y_pixel:
            result = without_gaps(result, self.n, operands.y_pixel)
        rows = self.n if kernel.direction == "bwd_weight" else self.m
        return {"result": result.reshape(rows, -1)}


PROBLEMS = [
    *(Linear(m, SIZES[m % 9], SIZES[(2 * m + 3) % 9]) for m in range(1, 18)),
    *(
        Linear(*sizes, large=True)
        for sizes in (
            *((3, 5, 601), (5, 399, 7), (401, 6, 5), (50, 67, 259)),
            *((3, 1300, 300), (3, 300, 1300), (300, 3, 1300), (1, 15, 4500)),
        )
    ),
]

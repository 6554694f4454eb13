"""dropout: csrc/elementwise/dropout.h, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from bindings import SIZES, Array, Kernel, Shape
from numerics import assert_same_bits, generator
from problem import Problem, Results

SPECIALS = (np.nan, np.inf, -np.inf, 0.0, -0.0)
LOW = (1 << 53) - 1


class Dropped(NamedTuple):
    arrays: tuple[Array, Array]
    expected: Results


@dataclass(frozen=True)
class Dropout(Problem):
    size: int
    keep: float

    def __str__(self) -> str:
        return f"{self.size}-keep_{self.keep:g}"

    @property
    def representative(self) -> bool:
        return self.size in (17, 32769)

    @property
    def shape(self) -> Shape:
        return {"size": self.size, "keep": self.keep}

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Dropped]]:
        """Two of random bits, half of them next to the limit."""
        rng = generator("dropout", self, kernel.direction, kernel.dtype)
        for draw in range(2):
            values = rng.standard_normal(self.size).astype(kernel.dtype)
            values = np.where(rng.random(self.size) < 0.2, rng.choice(SPECIALS, self.size), values)
            values = values.astype(kernel.dtype)
            numbers = rng.integers(-(1 << 63), (1 << 63) - 1, self.size, endpoint=True)
            near = np.clip(int(self.keep * 2.0**53) + rng.integers(-1, 2, self.size), 0, LOW)
            numbers = np.where(rng.random(self.size) < 0.5, numbers, (numbers & ~LOW) | near)
            mask = (numbers & LOW) * 2.0**-53 < self.keep
            with np.errstate(invalid="ignore"):
                scale = mask.astype(kernel.dtype) / np.asarray(self.keep, kernel.dtype)
                result = values * scale
            expected: dict[str, Any] = {"result": result}
            second = mask.astype(np.uint8)
            if kernel.direction == "forward":
                expected["mask"], second = second, numbers
            yield f"draw {draw}", Dropped((values, second), expected)

    def run(self, kernel: Kernel, operands: Dropped, *, threads: int) -> Results:
        results = kernel.run(*operands.arrays, threads=threads, **self.shape)
        if kernel.direction == "forward":
            return dict(zip(("result", "mask"), results, strict=True))
        return {"result": results}

    def check(self, kernel: Kernel, operands: Dropped, results: Results, what: str) -> None:
        for name, expected in operands.expected.items():
            assert_same_bits(results[name], expected, f"{what}, {name}")


#: The last sizes lie around the kernels' blocks of elements.
PROBLEMS = [
    *(Dropout(size, 0.75) for size in (*SIZES, 63, 64, 65, 1000, 32767, 32768, 32769)),
    *(Dropout(1000, keep) for keep in (2.0**-60, 1e-9, 0.1, 0.3, 0.5, 1 - 2.0**-53, 1.0)),
]

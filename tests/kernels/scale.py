"""scale: channels times a factor each, within the rounding of each operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from bindings import Array, Kernel, Shape
from finish import Epilogue
from numerics import assert_within, eps_of, generator
from problem import Problem, Results
from reorder import laid_out

EPILOGUES = (
    Epilogue(),
    Epilogue("relu", "before"),
    Epilogue("silu"),
    Epilogue("clamp", "after"),
    Epilogue("leaky_relu"),
)


class Operands(NamedTuple):
    x: Array
    factor: Array
    bias: Array | None
    residual: Array | None
    epilogue: Epilogue


@dataclass(frozen=True)
class Scale(Problem):
    n: int
    c: int
    pixels: int
    each_image: bool = False
    #: Further channels between those of neighbouring pixels.
    x_gap: int = 0
    y_gap: int = 0

    def __str__(self) -> str:
        factors = "factors_of_images" if self.each_image else "factors"
        return f"{self.n}x{self.c}x{self.pixels}-{factors}-gaps_{self.x_gap}_{self.y_gap}"

    @property
    def shape(self) -> Shape:
        return {
            "n": self.n,
            "c": self.c,
            "pixels": self.pixels,
            "x_pixel": self.c + self.x_gap,
            "y_pixel": self.c + self.y_gap,
            "factor_image": self.c if self.each_image else 0,
        }

    def draws(self, kernel: Kernel) -> Iterator[tuple[str, Operands]]:
        rng = generator("scale", self, kernel.dtype)

        def draw(*sizes: int) -> Array:
            return rng.standard_normal(sizes).astype(kernel.dtype)

        for epilogue in EPILOGUES:
            x = draw(self.n, self.c, self.pixels)
            factor = draw(self.n if self.each_image else 1, self.c)
            bias = None if epilogue.activation == "none" else draw(self.c)
            residual = draw(*x.shape) if epilogue.residual else None
            yield str(epilogue), Operands(x, factor, bias, residual, epilogue)

    def run(self, kernel: Kernel, operands: Operands, *, threads: int) -> Results:
        x, factor, bias, residual, epilogue = operands
        return {
            "y": kernel.run(
                laid_out(x, "channels_last", self.x_gap, np.nan),
                factor.ravel(),
                laid_out(np.full_like(x, np.nan), "channels_last", self.y_gap, 7),
                bias=bias,
                residual=None if residual is None else laid_out(residual, "channels_last", 0, 0),
                epilogue=epilogue.fields,
                threads=threads,
                **self.shape,
            )
        }

    def check(self, kernel: Kernel, operands: Operands, results: Results, what: str) -> None:
        x, factor, bias, residual, epilogue = operands
        scaled = x.astype(np.float64) * factor[:, :, None]
        biased = scaled if bias is None else scaled + bias[:, None]
        # A product, a sum, and perhaps another are rounded.
        size = np.abs(scaled) + np.abs(biased)
        if epilogue.residual == "before":
            size = size + np.abs(biased + residual)
        expected, tolerance = epilogue.expected(
            biased, residual, eps_of(kernel.dtype) / 2 * size, kernel.dtype
        )
        assert_within(
            results["y"],
            laid_out(expected, "channels_last", self.y_gap, 7),
            laid_out(tolerance, "channels_last", self.y_gap, 0),
            what,
        )


#: Channels around the widths of vectors, and pixels around a kernel's blocks of them.
PROBLEMS = [
    Scale(1, 1, 1),
    Scale(2, 3, 49, each_image=True, y_gap=5),
    Scale(1, 3, 5000),
    Scale(3, 17, 33, each_image=True, x_gap=1),
    Scale(2, 64, 200, x_gap=16, y_gap=3),
    Scale(1, 300, 7),
]

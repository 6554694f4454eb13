"""Every adaptive_max_pool2d kernel against its contract, to the bit."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from bindings import SIZES, THREADS, Array, Kernel, assert_same_bits, each_kernel
from numerics import INPUT_KINDS, generator
from test_average_pool_kernels import ADAPTIVE, Adaptive
from test_max_pool2d_kernels import SPECIAL_KINDS
from windows import LAYOUTS, pack, unpack

OPERATOR = "adaptive_max_pool2d"
CASES = [
    *ADAPTIVE,
    *(Adaptive(f"planes_{c}", 1, c, (6, 7), (2, 3)) for c in SIZES),
    Adaptive("strip_too_large", 2, 3, (140, 130), (2, 3)),
]


@cache
def draw(case: Adaptive, kind: str, dtype: str) -> Array:
    rng = generator(OPERATOR, case, kind, dtype)
    if kind in SPECIAL_KINDS:
        return SPECIAL_KINDS[kind](rng, case.x_shape, dtype)
    return INPUT_KINDS[kind](rng, case.x_shape).astype(dtype)


class Pooled(NamedTuple):
    y: Array
    indices: Array


@cache
def exact(case: Adaptive, kind: str, dtype: str) -> Pooled:
    x = draw(case, kind, dtype)
    y = np.empty(case.y_shape, dtype)
    indices = np.empty(case.y_shape, np.int64)
    (rows, _), (columns, _) = case.axis(0), case.axis(1)
    for i, j in np.ndindex(*case.out):
        at = np.ix_(rows[i].nonzero()[0], columns[j].nonzero()[0])
        window = x[:, :, at[0], at[1]].reshape(case.n, case.c, -1)
        positions = (at[0] * case.image[1] + at[1]).ravel()
        is_nan = np.isnan(window)
        last_nan = window.shape[-1] - 1 - is_nan[..., ::-1].argmax(-1)
        first_maximum = np.where(is_nan, -np.inf, window).argmax(-1)
        best = np.where(is_nan.any(-1), last_nan, first_maximum)
        y[:, :, i, j] = np.take_along_axis(window, best[..., None], -1)[..., 0]
        indices[:, :, i, j] = positions[best]
    return Pooled(y, indices)


def cases(direction: str) -> list[object]:
    variants = {
        f"{case.name}-{layout}": (case.shape(layout), [case, layout])
        for case in CASES
        for layout in LAYOUTS
    }
    return each_kernel(OPERATOR, direction, variants=variants)


@pytest.mark.parametrize("kernel, case, layout", cases("forward"))
def test_forward(kernel: Kernel, case: Adaptive, layout: str) -> None:
    for i, kind in enumerate([*INPUT_KINDS, *SPECIAL_KINDS]):
        threads = THREADS[i % len(THREADS)]
        expected = exact(case, kind, kernel.dtype)
        x = pack(draw(case, kind, kernel.dtype), layout)
        for record in (True, False):
            y, indices = kernel.run(x, record, threads=threads, **case.shape(layout))
            what = f"{kind}, {threads} threads, record={record}"
            assert_same_bits(unpack(y, case.y_shape, layout), expected.y, f"y, {what}")
            if record:
                indices = unpack(indices, case.y_shape, layout)
                assert_same_bits(indices, expected.indices, f"indices, {what}")
            else:
                assert indices is None


@pytest.mark.parametrize("kernel, case, layout", cases("bwd_input"))
def test_bwd_input(kernel: Kernel, case: Adaptive, layout: str) -> None:
    """On whole numbers, whose sums are exact in any order."""
    dy = generator("dy", case).integers(-8, 8, case.y_shape).astype(kernel.dtype)
    for threads, kind in zip(THREADS, ("normal", "ties", "nans", "minus_infinities"), strict=True):
        indices = exact(case, kind, kernel.dtype).indices
        planes = np.zeros((case.n * case.c, case.image[0] * case.image[1]), kernel.dtype)
        in_planes = (len(planes), -1)
        at = (np.arange(len(planes))[:, None], indices.reshape(in_planes))
        np.add.at(planes, at, dy.reshape(in_planes))
        dx = kernel.run(
            pack(dy, layout), pack(indices, layout), threads=threads, **case.shape(layout)
        )
        expected = planes.reshape(case.x_shape)
        assert_same_bits(unpack(dx, case.x_shape, layout), expected, f"{kind}, {threads} threads")

"""More than 2^31 elements: no index, offset or count is an int32.

Almost all of an input is zero; only values around element 2^31 and at both ends are drawn. So
native PyTorch need not compute all of it: zeros give a constant, and the rest is compared with
what native makes of that rest. Zeros that are never written take no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnext.testing import kernels
from cnnext.testing.errors import assert_bitwise_equal, assert_contract, make_input
from tests.ops.support import CNNEXT, NATIVE, generator_for

NEEDED = 10  # GiB: a tensor is of eight, and the system promises no more than it has


def _available() -> float:
    """GiB of memory, infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable"))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        _available() < NEEDED, reason=f"needs {NEEDED} GiB of memory, {_available():.1f} are left"
    ),
]

LIMIT = 2**31
ROWS, COLUMNS = 2**15 + 1, 2**16  # the last row begins at element 2^31
DRAWN = [0, ROWS - 2, ROWS - 1]


def drawn_rows() -> tuple[Tensor, Tensor]:
    """A matrix of more than 2^31 elements, and those of its rows that are not zero."""
    matrix = torch.from_numpy(np.zeros((ROWS, COLUMNS), np.float32))  # torch.zeros writes them
    assert matrix.numel() > LIMIT
    rows = draw(len(DRAWN), COLUMNS)
    matrix[DRAWN] = rows
    return matrix, rows


def draw(*shape: int) -> Tensor:
    return make_input("normal", shape, generator_for(shape))


def others(results: Tensor) -> Tensor:
    """The results, one for each row of the matrix, that belong to rows of zeros."""
    return torch.cat([results[begin + 1 : end] for begin, end in pairwise(DRAWN)])


def check(
    ours: Sequence[Tensor], compute: Callable[..., Sequence[Tensor]], *operands: Tensor
) -> None:
    """`compute` is what native does; `ours` must be as near to what it does in float64."""
    native = compute(*operands)
    reference = compute(*(operand.double() for operand in operands))
    for index, results in enumerate(zip(ours, native, reference, strict=True)):
        assert_contract(*(result.detach() for result in results), what=f"result {index}")


def test_linear() -> None:
    input, rows = drawn_rows()
    weight, bias, seed = draw(3, COLUMNS), draw(3), draw(ROWS, 3)

    def compute(input: Tensor, weight: Tensor, bias: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.detach().requires_grad_()
        output = NATIVE.linear(input, weight, bias)
        return output, *torch.autograd.grad(output, weight, seed)

    leaf = weight.clone().requires_grad_()
    output = CNNEXT.linear(input, leaf, bias)
    (gradient,) = torch.autograd.grad(output, leaf, seed)
    check((output[DRAWN], gradient), compute, rows, weight, bias, seed[DRAWN])
    zero = others(output)
    assert_bitwise_equal(zero, bias.expand_as(zero).contiguous())


def test_lstm_cell() -> None:
    input, rows = drawn_rows()
    w_ih, w_hh, b_ih, b_hh = draw(8, COLUMNS) / 2**8, draw(8, 2), draw(8), draw(8)
    state = draw(1, 2).expand(ROWS, 2)

    def compute(input: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        states = state[: len(input)].to(input.dtype)
        return NATIVE.lstm_cell(input, (states, states), *parameters)

    ours = CNNEXT.lstm_cell(input, (state, state), w_ih, w_hh, b_ih, b_hh)
    check([each[DRAWN] for each in ours], compute, rows, w_ih, w_hh, b_ih, b_hh)
    zero = torch.zeros(1, COLUMNS)

    def compute_zero(*operands: Tensor) -> list[Tensor]:
        return [each.expand(ROWS - len(DRAWN), 2) for each in compute(*operands)]

    check([others(each) for each in ours], compute_zero, zero, w_ih, w_hh, b_ih, b_hh)


def test_conv2d_of_many_channels() -> None:
    matrix, rows = drawn_rows()
    weight, seed = draw(2, ROWS, 1, 1), draw(1, 2, 256, 256)

    def compute(input: Tensor, weight: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.detach().requires_grad_()
        output = NATIVE.conv2d(input, weight)
        return output, *torch.autograd.grad(output, weight, seed)

    leaf = weight.clone().requires_grad_()
    output = CNNEXT.conv2d(matrix.view(1, ROWS, 256, 256), leaf)
    (gradient,) = torch.autograd.grad(output, leaf, seed)
    image = rows.view(1, len(DRAWN), 256, 256)
    check((output, gradient[:, DRAWN]), compute, image, weight[:, DRAWN].contiguous(), seed)
    assert others(gradient.transpose(0, 1)).count_nonzero() == 0


def test_conv2d_of_a_large_plane() -> None:
    matrix, _ = drawn_rows()
    weight = draw(1, 1, 3, 3)

    def compute(image: Tensor, weight: Tensor) -> tuple[Tensor]:
        return (NATIVE.conv2d(image, weight, stride=(3, 64)),)

    with kernels.use_kernel("conv2d", f"conv2d_direct_f32_{kernels.active_isa()}"):
        output = CNNEXT.conv2d(matrix.view(1, 1, ROWS, COLUMNS), weight, stride=(3, 64))
    for rows, result in ((matrix[:3], output[:, :, :1]), (matrix[-3:], output[:, :, -1:])):
        check((result,), compute, rows.view(1, 1, 3, COLUMNS), weight)
    assert output[:, :, 1:-1].count_nonzero() == 0


#: The windows of a pool of three rows and 64 columns, as the arguments of a pool of the whole
#: matrix and of one of three rows.
SIZES = {"": ((3, 64), (3, 64)), "adaptive_": ((ROWS // 3, 1024), (1, 1024))}
each_kind = pytest.mark.parametrize("kind", SIZES, ids=("windows", "adaptive"))


@each_kind
def test_max_pools(kind: str) -> None:
    matrix, _ = drawn_rows()
    image = matrix.view(1, 1, ROWS, COLUMNS)
    op, (size, size_of_rows) = f"{kind}max_pool2d", SIZES[kind]
    output, indices = getattr(CNNEXT, op)(image, size, return_indices=True)
    for begin, where in ((0, slice(1)), (ROWS - 3, slice(-1, None))):
        part = image[:, :, begin : begin + 3]
        values, positions = getattr(NATIVE, op)(part, size_of_rows, return_indices=True)
        assert_bitwise_equal(output[:, :, where], values)
        assert_bitwise_equal(indices[:, :, where], positions + begin * COLUMNS)
    assert indices.max() >= LIMIT
    assert output[:, :, 1:-1].count_nonzero() == 0
    corners = torch.arange(0, ROWS, 3)[:, None] * COLUMNS + torch.arange(0, COLUMNS, 64)
    assert torch.equal(indices[0, 0, 1:-1], corners[1:-1])


@each_kind
def test_average_pools(kind: str) -> None:
    matrix, _ = drawn_rows()
    op, (size, size_of_rows) = f"{kind}avg_pool2d", SIZES[kind]

    def compute(image: Tensor) -> tuple[Tensor]:
        return (getattr(NATIVE, op)(image, size_of_rows),)

    output = getattr(CNNEXT, op)(matrix.view(1, 1, ROWS, COLUMNS), size)
    for rows, result in ((matrix[:3], output[:, :, :1]), (matrix[-3:], output[:, :, -1:])):
        check((result,), compute, rows.view(1, 1, 3, COLUMNS))
    assert output[:, :, 1:-1].count_nonzero() == 0


def test_relu_in_place() -> None:
    matrix, rows = drawn_rows()
    assert CNNEXT.relu(matrix, inplace=True) is matrix
    assert_bitwise_equal(matrix[DRAWN], NATIVE.relu(rows))
    assert matrix.count_nonzero() == (rows > 0).sum()

"""What PyTorch's own tests check and a drop-in is likely to miss, with cnnext under its names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.ops import calls
from tests.ops.calls import call, operands_of
from tests.upstream_suites.patching import patched

#: Those that native has.
OPS = tuple(op for op in calls.OPS if hasattr(F, op) or hasattr(torch, op))


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    with patched():
        yield


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
def test_native_is_found_under_its_own_name(op: str, dtype: torch.dtype) -> None:
    """A fallback that looked for native's function there would find itself."""
    library = F if hasattr(F, op) else torch
    operands = [t.requires_grad_() for t in operands_of(op, dtype)]
    output = call(library, op, *operands)
    first = output[0] if isinstance(output, tuple) else output
    assert first.dtype == dtype
    assert all(g is not None for g in torch.autograd.grad(first.sum(), operands))


@pytest.mark.parametrize("padding", ("same", "valid"))
def test_native_is_found_where_only_it_takes_a_bias(padding: str) -> None:
    x, weight, bias = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3), torch.ones(3).double()
    assert F.conv2d(x, weight, bias, padding=padding).shape[1] == 3


def _empty_batch(op: str, *operands: Tensor) -> Any:
    rows = {"lstm_cell": 3}.get(op, 2 if op.endswith("_cell") else 1)
    return call(F if hasattr(F, op) else torch, op, *[t[:0] for t in operands[:rows]],
                *operands[rows:])  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_an_empty_batch_is_natives_too(op: str) -> None:
    output = _empty_batch(op, *operands_of(op))
    assert (output[0] if isinstance(output, tuple) else output).shape[0] == 0


@pytest.mark.parametrize("kernel", (2, 17), ids=("bytes", "positions"))
def test_written_indices_are_noticed_in_backward(kernel: int) -> None:
    x = torch.randn(1, 1, 17, 17, requires_grad=True)
    output, indices = nn.MaxPool2d(kernel, return_indices=True)(x)
    output.sum().backward(retain_graph=True)
    assert x.grad is not None and x.grad.sum() == output.numel()
    indices.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_a_cell_compares_sizes_before_dtypes() -> None:
    with pytest.raises(RuntimeError, match="input has inconsistent input_size: got 11 expected 10"):
        nn.LSTMCell(10, 20)(torch.randn(3, 11, dtype=torch.float64))


#: Every test of wrong sizes that compares native's message: the changed shapes, the message.
CELLS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "w_ih": ({"weight_ih": (17, 3)}, "weight_ih first dim must be 4 \\* hidden_size = 16"),
    "w_hh": ({"weight_hh": (17, 4)}, "weight_hh first dim must be 4 \\* hidden_size = 16"),
    "both": ({"weight_ih": (17, 3), "weight_hh": (17, 4)}, "weight_ih first dim"),
}


@pytest.mark.parametrize("case", CELLS)
def test_weights_of_a_cell_that_do_not_fit(case: str) -> None:
    shapes, words = CELLS[case]
    cell = nn.LSTMCell(3, 4)
    for name, shape in shapes.items():
        setattr(cell, name, nn.Parameter(torch.zeros(shape)))
    with pytest.raises(RuntimeError, match=words):
        cell(torch.randn(2, 3))


@pytest.mark.parametrize("dim", (2**41, 2**62, 2**63 - 1))
def test_a_step_beyond_the_image_is_one_position(dim: int) -> None:
    x, weight = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 2, 2)
    assert torch.equal(F.conv2d(x, weight, stride=dim), F.conv2d(x, weight, stride=5))
    pointwise = weight[:, :, :1, :1]
    assert torch.equal(F.conv2d(x, pointwise, dilation=dim), F.conv2d(x, pointwise))


#: Words of native that code searches for in an error message.
WORDS: dict[str, tuple[Callable[[], Any], str]] = {
    "linear-dtype": (
        lambda: F.linear(torch.ones(2, 3).double(), torch.ones(4, 3)),
        "mat1 and mat2 must have the same dtype",
    ),
    "conv2d-bias-dtype": (
        lambda: F.conv2d(torch.ones(1, 1, 3, 3).double(), torch.ones(1, 1, 1, 1), torch.ones(1)),
        r"Input type \(double\) and bias type \(float\) should be the same",
    ),
    "conv2d-three-strides": (
        lambda: F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1), stride=(1, 1, 1)),
        "a single integer value or a list of 2 values to match the convolution dimensions",
    ),
    "max_pool2d-three-kernels": (
        lambda: F.max_pool2d(torch.ones(1, 1, 3, 3), (1, 1, 1)),
        "max_pool2d: kernel_size must either be a single int, or a tuple of two ints",
    ),
    "max_pool2d-three-strides": (
        lambda: F.max_pool2d(torch.ones(1, 1, 3, 3), 1, (1, 1, 1)),
        "max_pool2d: stride must either be omitted, a single int, or a tuple of two ints",
    ),
    **{
        f"max_pool2d-{kernel}-{stride}": (
            lambda kernel=kernel, stride=stride: F.max_pool2d(
                torch.ones(1, 2, 4, 4), kernel, stride
            ),
            "stride should not be zero",
        )
        for kernel, stride in ((2, 0), (0, None), (2, (1, 0)))
    },
    "max_pool2d-kernel": (
        lambda: F.max_pool2d(torch.ones(1, 1, 3, 3), -1),
        "kernel size should be greater than zero",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_errors_hold_natives_words(case: str) -> None:
    wrong, words = WORDS[case]
    with pytest.raises(RuntimeError, match=words):
        wrong()

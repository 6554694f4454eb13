"""conv3d and its module: padding by name and mode, what native computes, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.runtime.fallback import NativeFallbackWarning
from cnnext.testing.errors import make_input
from tests.ops.graphs import check_compiled
from tests.ops.support import (
    CNNEXT,
    DTYPES,
    NATIVE,
    Problem,
    assert_bitwise_equal,
    check_derivatives,
    check_everything,
)
from tests.ops.test_conv2d_module import MODES, as_problem


def convolution(x: Tensor, weight: Tensor, **options: Any) -> Problem:
    return Problem(lambda library, v: (library.conv3d(*v, **options),), (x, weight))


@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize("dilation", (1, (2, 1, 3), [2]), ids=str)
@pytest.mark.parametrize("kernel", ((1, 2, 3), (3, 1, 2), (2, 2, 2)), ids=str)
def test_padding_by_name(
    kernel: tuple[int, ...], dilation: Any, padding: str, generator: torch.Generator
) -> None:
    """'same' with an even extent pads one element more at the end."""
    x = make_input("normal", (2, 3, 6, 7, 8), generator)
    weight = make_input("normal", (4, 3, *kernel), generator)
    options = {"padding": padding, "dilation": dilation}
    check_everything(convolution(x, weight, **options))
    check_everything(convolution(x[0], weight, **options))


def test_padding_by_name_in_derivatives_and_graphs(generator: torch.Generator) -> None:
    x, weight = (
        make_input("normal", shape, generator) for shape in ((1, 2, 3, 3, 4), (2, 2, 2, 3, 2))
    )
    check_derivatives(convolution(x, weight, padding="same"))
    check_compiled("conv2d", convolution(x, weight, padding="same"), "aot_eager")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("padding", (1, (2, 0, 1), "same"), ids=str)
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "reflect"])
def test_padding_modes(
    mode: str, padding: Any, dtype: torch.dtype, generator: torch.Generator
) -> None:
    def build(layers: Any) -> nn.Module:
        return layers.Conv3d(3, 4, 3, padding=padding, padding_mode=mode)

    check_everything(as_problem(build, make_input("normal", (2, 3, 4, 5, 6), generator, dtype)))


@pytest.mark.filterwarnings("error", category=NativeFallbackWarning)
@pytest.mark.parametrize("case", ("channels_last_3d", "depthwise"))
def test_native_computes_what_it_is_faster_at(case: str, generator: torch.Generator) -> None:
    """To the bit, and without a word."""
    x = make_input("normal", (2, 4, 5, 6, 7), generator)
    if case == "channels_last_3d":
        x = x.contiguous(memory_format=torch.channels_last_3d)
    channels = 1 if case == "depthwise" else 4
    weight = make_input("normal", (4, channels, 3, 3, 3), generator)
    groups = 4 // channels
    expected = nn.functional.conv3d(x, weight, groups=groups)
    result = cnnext.functional.conv3d(x, weight, groups=groups)
    assert result.stride() == expected.stride()
    assert_bitwise_equal(result, expected)


def test_the_input_is_kept_and_not_its_windows(generator: torch.Generator) -> None:
    x = make_input("normal", (1, 3, 4, 5, 6), generator).requires_grad_()
    weight = make_input("normal", (2, 3, 3, 3, 3), generator)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, keep):
        cnnext.functional.conv3d(x, weight)
    assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr(), weight.data_ptr()]


def test_gradients_are_dense_and_no_views(generator: torch.Generator) -> None:
    """Also of a weight whose sizes of one have strides that look like channels_last."""
    x = make_input("normal", (2, 3, 4, 5, 5), generator)
    for weight in (
        make_input("normal", (1, 4, 1, 1, 3), generator).permute(1, 4, 0, 2, 3),
        make_input("normal", (4, 3, 3, 3, 3), generator),
        make_input("normal", (4, 3, 3, 1, 1), generator),
    ):
        gradients = []
        for library in (CNNEXT, NATIVE):
            leaves = [t.detach().requires_grad_() for t in (x, weight)]
            gradients.append(torch.autograd.grad(library.conv3d(*leaves).sum(), leaves))
        for ours, native in zip(*gradients, strict=True):
            assert ours.stride() == native.stride()
            assert not ours._is_view() and not native._is_view()

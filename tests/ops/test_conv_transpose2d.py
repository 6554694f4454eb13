"""conv_transpose2d and its module: sizes of the output, exact sums, plans."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.runtime import exact_sums
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.graphs import Compiled, ops_in
from tests.ops.support import LAYOUTS_4D, assert_same_sums
from tests.pytorch_integration.cases import Layer, gradients_of, outcome

UP = Layer(
    "ConvTranspose2d",
    (3, 4, (3, 2)),
    ((2, 3, 5, 6),),
    {"stride": (3, 2), "padding": 1, "dilation": (1, 2)},
)

# ------------------------------------------------------------------------------- output_size

LEAST = (13, 11)


@pytest.mark.parametrize("view", LAYOUTS_4D)
def test_every_output_size(view: str) -> None:
    ours, native = UP.pair()
    image = LAYOUTS_4D[view](*UP.inputs())
    for above in product(range(3), range(2)):
        size = [least + more for least, more in zip(LEAST, above, strict=True)]
        for x, leading in ((image, []), (image, [2, 4]), (image[0], []), (image[0], [4])):
            results = [module(x, output_size=leading + size) for module in (ours, native)]
            assert list(results[0].shape[-2:]) == size
            assert results[0].stride() == results[1].stride()
            assert_same_sums(*results)
        gradients = (gradients_of(module, image, size) for module in (ours, native))
        assert_same_sums(*gradients)


@pytest.mark.parametrize(
    "size", ([12, 11], [13, 10], [16, 11], [13, 13], [13], [2, 4, 13], [], (13, 11), "ab"), ids=str
)
def test_output_size_that_native_rejects(size: Any) -> None:
    results = []
    for module in UP.pair():
        try:
            results.append(module(*UP.inputs(), size))
        except Exception as error:  # the same of both
            results.append(f"{type(error).__name__}: {error}")
    if isinstance(results[1], Tensor):
        assert_same_sums(*results)
    else:
        assert results[0] == results[1]


@pytest.mark.parametrize("padding_mode", ("reflect", "circular"))
def test_padding_modes_that_native_rejects(padding_mode: str) -> None:
    """By the constructor, and where the attribute was changed by the call."""
    modules = UP.pair()
    errors = [outcome(UP.build, layers, padding_mode=padding_mode) for layers in (cnnext.nn, nn)]
    assert errors == [ValueError] * 2
    for module in modules:
        module.padding_mode = padding_mode
        with pytest.raises(ValueError, match="Only `zeros` padding mode is supported"):
            module(*UP.inputs())


def test_output_size_in_a_graph() -> None:
    ours = UP.build(cnnext.nn)
    library = Compiled("aot_eager")
    compiled = library.compile(ours, "aot_eager")
    for size in ([14, 12], [15, 11]):
        assert_same_sums(compiled(*UP.inputs(), size), ours(*UP.inputs(), size))
        gradients = (gradients_of(module, *UP.inputs(), size) for module in (compiled, ours))
        assert_same_sums(*(list(each.values()) for each in gradients))
    assert all("conv_transpose2d" in ops_in(graph) for graph in library.graphs)


# -------------------------------------------------------------------------------- exact sums


def test_many_exact_tiles_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In both directions: its kernels are those of a convolution."""
    monkeypatch.setattr(exact_sums._many, "value", 0)
    weight = torch.randn(64, 64, 3, 3)
    x = torch.ones(1, 64, 48, 48)
    x[..., 21:] = 0
    x[..., ::8, ::8] = 1e5
    with cnnext.flags(conv_algorithm="winograd4"):
        monkeypatch.setattr(exact_sums, "_said", False)
        with pytest.warns(cnnext.ExactSumsWarning, match="10 %"):
            cnnext.functional.conv_transpose2d(x, weight, padding=1)
        leaf = torch.ones_like(x, requires_grad=True)
        output = cnnext.functional.conv_transpose2d(leaf, weight, padding=1)
        monkeypatch.setattr(exact_sums, "_said", False)
        with pytest.warns(cnnext.ExactSumsWarning, match="10 %"):
            output.backward(x)


def test_an_empty_part_of_the_image_stays_empty(generator: torch.Generator) -> None:
    x = make_input("normal", (1, 32, 24, 24), generator)
    x[..., 12:] = 0
    layer = cnnext.ConvTranspose2d(32, 32, 3, padding=1, bias=False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", cnnext.ExactSumsWarning)
        assert not layer(x)[..., 13:].any()


# ------------------------------------------------------------------------------------- plans


class Upsampler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.up(x)).relu()


def test_a_plan_of_ours_is_that_of_natives(generator: torch.Generator) -> None:
    model = Upsampler().eval()
    x = make_input("normal", (2, 8, 6, 5), generator)
    converted = cnnext.convert(model)
    assert type(converted.up) is cnnext.nn.ConvTranspose2d
    plans = [cnnext.optimize(each, x) for each in (converted, model)]
    assert str(plans[0].report()) == str(plans[1].report())
    with torch.no_grad():
        assert_bitwise_equal(plans[0](x), plans[1](x))

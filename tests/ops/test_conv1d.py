"""conv1d and its module: memory of any order, padding by name and by mode, kept filters."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.runtime import planned_calls
from cnnext.testing.errors import make_input
from tests.ops.graphs import Compiled, check_compiled, ops_in
from tests.ops.support import (
    DTYPES,
    VIEWS,
    Problem,
    assert_same_sums,
    check_derivatives,
    check_everything,
)
from tests.ops.test_conv2d_module import MODES, as_problem
from tests.pytorch_integration.cases import gradients_of

# ------------------------------------------------------------------------ unbatched, and views


def convolution(x: Tensor, weight: Tensor, **options: Any) -> Problem:
    return Problem(lambda library, v: (library.conv1d(*v, **options),), (x, weight))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("unbatched", (False, True), ids=("batched", "unbatched"))
def test_views(unbatched: bool, dtype: torch.dtype, generator: torch.Generator) -> None:
    x = make_input("normal", (2, 4, 9), generator, dtype)
    weight = make_input("normal", (6, 4, 3), generator, dtype)
    for view, of_weight in product(VIEWS.values(), VIEWS.values()):
        check_everything(convolution(view(x[0] if unbatched else x), of_weight(weight)))


@pytest.mark.parametrize("size", ((0, 4, 9), (0, 9), (2, 0, 9)), ids=str)
def test_nothing_to_compute(size: tuple[int, ...]) -> None:
    channels = size[-2]
    check_everything(convolution(torch.empty(size), torch.ones(3, channels, 1)))


# ----------------------------------------------------------------------- padding by name, mode


@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize("dilation", (1, 2, [3]), ids=str)
@pytest.mark.parametrize("kernel", (1, 2, 3, 4))
def test_padding_by_name(
    kernel: int, dilation: Any, padding: str, generator: torch.Generator
) -> None:
    """'same' with an even extent pads one element more at the end."""
    x = make_input("normal", (2, 3, 14), generator)
    weight = make_input("normal", (4, 3, kernel), generator)
    options = {"padding": padding, "dilation": dilation}
    check_everything(convolution(x, weight, **options))
    check_everything(convolution(x[0], weight, **options))


@pytest.mark.parametrize("padding", ("same", "valid"))
def test_padding_by_name_in_derivatives_and_graphs(
    padding: str, generator: torch.Generator
) -> None:
    x, weight = (make_input("normal", shape, generator) for shape in ((2, 3, 6), (2, 3, 4)))
    check_derivatives(convolution(x, weight, padding=padding))
    check_compiled("conv2d", convolution(x, weight, padding=padding), "aot_eager")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("padding", (1, (2,), "same", "valid"), ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(
    mode: str, padding: Any, dtype: torch.dtype, generator: torch.Generator
) -> None:
    def build(layers: Any) -> nn.Module:
        return layers.Conv1d(3, 4, 4, padding=padding, padding_mode=mode)

    x = make_input("normal", (2, 3, 9), generator, dtype)
    check_everything(as_problem(build, x))
    check_everything(as_problem(build, x[0]))


def test_unbatched_in_a_graph(generator: torch.Generator) -> None:
    library = Compiled("aot_eager")
    layer = cnnext.Conv1d(3, 4, 3)
    compiled = library.compile(layer, "aot_eager")
    x = make_input("normal", (3, 9), generator)
    assert_same_sums(compiled(x), layer(x))
    gradients = (list(gradients_of(module, x).values()) for module in (compiled, layer))
    assert_same_sums(*gradients)
    assert all("conv2d" in ops_in(graph) for graph in library.graphs)


# ------------------------------------------------------------------------------ kept filters


@torch.no_grad()
def test_a_kept_filter_follows_its_weight(generator: torch.Generator) -> None:
    layer = cnnext.Conv1d(32, 32, 3, padding=1)
    x = make_input("normal", (2, 32, 40), generator)
    through_numpy = layer.weight.numpy()
    changes = (
        lambda: None,
        lambda: layer.weight.mul_(2),
        lambda: layer.weight.data.add_(1),
        lambda: through_numpy.fill(0.5),
    )
    for change in changes:
        layer(x)
        change()
        fresh = cnnext.functional.conv1d(x, layer.weight.clone(), layer.bias, padding=1)
        assert_same_sums(layer(x), fresh)
        assert planned_calls.kept_bytes(layer) > 0
    with torch.enable_grad():
        layer(x)
    assert planned_calls.kept_bytes(layer) == 0


# ------------------------------------------------------------------------------------- no views


@pytest.mark.parametrize("layer", (cnnext.Conv1d(3, 4, 3), cnnext.MaxPool1d(2)), ids=repr)
@torch.no_grad()
def test_results_of_sequences_are_no_views(layer: nn.Module, generator: torch.Generator) -> None:
    """What is a view cannot be detached in place, and not be written to with a gradient."""
    x = make_input("normal", (2, 3, 9), generator)
    for result in (layer(x), layer(x[0])):
        result.detach_().add_(torch.ones(1, requires_grad=True))

"""max_unpool2d and its module: places that repeat or are none, sizes, and what they come from."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.testing.errors import make_input
from tests.ops.support import CNNEXT, LAYOUTS, NATIVE, assert_bitwise_equal


class Around(nn.Module):
    """A pool, and the unpool that is its partial inverse."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.pool = layers.MaxPool2d(2, return_indices=True)
        self.unpool = layers.MaxUnpool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        pooled, indices = self.pool(images)
        unpooled: Tensor = self.unpool(pooled, indices, output_size=images.size())
        return unpooled


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_overlapping_windows_have_places_that_repeat(
    dtype: torch.dtype, layout: str, generator: torch.Generator
) -> None:
    """Native takes the last of those as well."""
    images = make_input("normal", (2, 5, 9, 11), generator, dtype)
    pooled, indices = nn.functional.max_pool2d(images, 3, 1, return_indices=True)
    other = make_input("normal", tuple(pooled.shape), generator, dtype)
    other = other.contiguous(memory_format=LAYOUTS[layout])
    results = []
    for library in (CNNEXT, NATIVE):
        leaf = other.detach().requires_grad_()
        output = library.max_unpool2d(leaf, indices, 3, 1)
        seed = torch.linspace(-1, 1, output.numel(), dtype=dtype).view(output.shape)
        results.append((output, *torch.autograd.grad(output, leaf, seed)))
    for ours, expected in zip(*results, strict=True):
        assert ours.stride() == expected.stride()
        assert_bitwise_equal(ours, expected)


@pytest.mark.parametrize("place", (-1, 36, 2**40, -(2**63)), ids=str)
@pytest.mark.parametrize("shape", ((2, 4, 3, 3), (4, 3, 3)), ids=str)
def test_a_place_outside_is_an_error(shape: tuple[int, ...], place: int) -> None:
    indices = torch.zeros(shape, dtype=torch.int64)
    indices.flatten()[-2] = place
    for library in (CNNEXT, NATIVE):
        with pytest.raises(RuntimeError, match=f"Found an invalid max index: {place} .*6x6"):
            library.max_unpool2d(torch.ones(shape), indices, 2)


@pytest.mark.parametrize(
    "change",
    (
        {"indices": torch.zeros(2, 4, 3, 3, dtype=torch.int32)},
        {"indices": torch.zeros(1, 4, 3, 3, dtype=torch.int64)},
        {"indices": torch.zeros(2, 4, 3, 3)},
        {"indices": None},
        {"input": torch.ones(3, 3)},
        {"input": torch.ones(2, 0, 3, 3), "indices": torch.zeros(2, 0, 3, 3, dtype=torch.int64)},
        {"kernel_size": 2.5},
        {"kernel_size": [2]},
        {"padding": 9},
        {"output_size": (8, 6)},
        {"output_size": (6, 6, 6)},
        {"output_size": (6.0, 6)},
    ),
    ids=str,
)
def test_bad_calls_raise_what_native_raises(change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "input": torch.ones(2, 4, 3, 3),
        "indices": torch.zeros(2, 4, 3, 3, dtype=torch.int64),
        **{"kernel_size": 2, "stride": None, "padding": 0, "output_size": None},
        **change,
    }
    with pytest.raises(Exception) as native:  # noqa: PT011 (of whatever type)
        NATIVE.max_unpool2d(**arguments)
    with pytest.raises(type(native.value)):
        CNNEXT.max_unpool2d(**arguments)


@pytest.mark.parametrize("size", ((9, 7), (2, 3, 9, 7), torch.Size((2, 3, 9, 7)), [9, 7]), ids=str)
def test_sizes_of_the_output(size: Any, generator: torch.Generator) -> None:
    pooled = make_input("normal", (2, 3, 4, 3), generator)
    indices = torch.arange(12).view(4, 3).expand(2, 3, 4, 3)
    ours, expected = (
        library.max_unpool2d(pooled, indices, 2, output_size=size) for library in (CNNEXT, NATIVE)
    )
    assert_bitwise_equal(ours, expected)


@pytest.mark.parametrize("way", ("eager", "converted", "copied", "compiled", "exported"))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_modules_are_natives_in_every_bit(
    way: str, layout: str, generator: torch.Generator
) -> None:
    images = make_input("normal", (2, 3, 7, 8), generator)
    images = images.contiguous(memory_format=LAYOUTS[layout])
    native = Around(nn)
    ours: Any = cnnext.convert(native) if way == "converted" else Around(cnnext.nn)
    if way == "copied":
        ours = copy.deepcopy(ours)
    elif way == "compiled":
        ours = torch.compile(ours, backend="aot_eager", fullgraph=True)
    elif way == "exported":
        ours = torch.export.export(ours, (images,)).module()
    results = []
    for model in (ours, native):
        leaf = images.clone().requires_grad_()
        output = model(leaf)
        seed = torch.linspace(-1, 1, output.numel()).view(output.shape)
        results.append((output, *torch.autograd.grad(output, leaf, seed)))
    for result, expected in zip(*results, strict=True):
        assert_bitwise_equal(result, expected)


def test_where_only_determined_results_are_wanted_native_refuses() -> None:
    indices = torch.zeros(2, 4, 3, 3, dtype=torch.int64)
    torch.use_deterministic_algorithms(True)
    try:
        for library in (CNNEXT, NATIVE):
            with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
                library.max_unpool2d(torch.ones(2, 4, 3, 3), indices, 2)
    finally:
        torch.use_deterministic_algorithms(False)

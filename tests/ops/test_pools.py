"""The pools: what stays in a window, sizes in any form, and native's errors."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from cnnext.ops.common.pooling import prefers_channels_last
from cnnext.testing.errors import make_input
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    NATIVE,
    assert_same_sums,
    generator_for,
    order_in_memory,
)

AVG, ADAPTIVE_AVG = "avg_pool2d", "adaptive_avg_pool2d"
MAX, ADAPTIVE_MAX = "max_pool2d", "adaptive_max_pool2d"


def image_of(*shape: int) -> Tensor:
    return make_input("normal", shape, generator_for("pool", shape))


def check_same_as_native(op: str, image: Tensor, *arguments: Any) -> None:
    """Values, sizes and order in memory; of calls in which nothing may be rounded."""
    ours, native = (getattr(library, op)(image, *arguments) for library in (CNNEXT, NATIVE))
    torch.testing.assert_close(ours, native, rtol=0, atol=0, equal_nan=True)
    assert order_in_memory(ours) == order_in_memory(native)


# ------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("op", "size"), ((AVG, 1), (ADAPTIVE_AVG, 2), (MAX, 1), (ADAPTIVE_MAX, 1)))
def test_unbatched_results(op: str, size: int) -> None:
    """No views, and contiguous, as native's."""
    with torch.no_grad():
        output = getattr(CNNEXT, op)(image_of(3, 5, 5), size)
    output.mul_(torch.ones(output.shape, requires_grad=True))  # not of a view made in no_grad mode
    pixels = image_of(1, 1, 5).permute(2, 0, 1)
    for image in (image_of(3, 5, 5), pixels):
        ours, native = (getattr(library, op)(image, size) for library in (CNNEXT, NATIVE))
        assert not ours._is_view()
        assert ours.stride() == native.stride()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("op", "arguments"),
    ((AVG, ((2, 4),)), (AVG, (3, 1, 1)), (ADAPTIVE_AVG, ((3, 8),)), (ADAPTIVE_AVG, ((4, 3),))),
    ids=str,
)
def test_infinities_stay_in_their_windows(op: str, arguments: Any, layout: str) -> None:
    """Sums of one window must not reach another by way of a shared partial sum."""
    for special in (torch.inf, -torch.inf, torch.nan):
        image = torch.ones(2, 20, 9, 40).contiguous(memory_format=LAYOUTS[layout])
        image[0, 3, 4, 17] = image[1, 19, 8, 39] = special
        check_same_as_native(op, image, *arguments)


@pytest.mark.parametrize("size", (1, 2, 3), ids=str)
def test_whole_numbers_are_exact(size: int) -> None:
    """Windows of 6x6, 3x3 and 2x2."""
    image = 36.0 * torch.arange(2 * 5 * 36).view(2, 5, 6, 6)
    check_same_as_native(ADAPTIVE_AVG, image, size)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("position", (-1, 36, 2**40))
def test_backward_ignores_positions_outside(position: int, layout: str) -> None:
    indices = torch.full((2, 4, 3, 3), position).contiguous(memory_format=LAYOUTS[layout])
    result = torch.ops.cnnext.adaptive_max_pool2d_backward(torch.ones(2, 4, 3, 3), indices, 6, 6)
    assert torch.equal(result, torch.zeros(2, 4, 6, 6))


def test_layout_that_is_preferred(seed: int) -> None:
    """As torch tells it, of sizes of one and zero and of strides in any order too."""
    rng = random.Random(seed)
    for _ in range(2000):
        size = [rng.choice((1, 1, 2, 3)) for _ in range(rng.choice((3, 4, 4, 4)))]
        input = torch.empty_strided(size, [rng.choice((0, 1, 1, 2, 3, 6, 12)) for _ in size])
        expected = suggest_memory_format(input) is torch.channels_last
        assert prefers_channels_last(input) == expected, (size, input.stride())
    assert not prefers_channels_last(torch.empty(2, 0, 3, 3))


def test_layout_of_volumes_that_is_preferred(seed: int) -> None:
    """Likewise, of strides that are those of an order of the axes, or any."""
    rng = random.Random(seed)
    for _ in range(2000):
        size = [rng.choice((1, 1, 2, 3)) for _ in range(5)]
        input = torch.empty_strided(size, [rng.choice((0, 1, 1, 2, 3, 6, 12)) for _ in size])
        order = rng.sample(range(5), 5)
        permuted = torch.empty([size[axis] for axis in order]).permute(
            sorted(range(5), key=order.__getitem__)
        )
        for volume in (input, permuted, permuted.contiguous(memory_format=torch.channels_last_3d)):
            expected = suggest_memory_format(volume) is torch.channels_last_3d
            assert prefers_channels_last(volume) == expected, (size, volume.stride())


def test_an_eager_call_on_volumes_imports_no_algebra() -> None:
    """SymPy takes more than a tenth of a second."""
    script = (
        "import sys, torch, cnnext; cnnext.Conv3d(2, 3, 3)(torch.ones(1, 2, 4, 5, 5)); "
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# -------------------------------------------------------------------------- options and shapes


def check_delegated(
    op: str, mentioned: str, image: Tensor, *arguments: Any, **options: Any
) -> None:
    """cnnext raises what native raises, with the argument and its value; or both take it."""
    try:
        native = getattr(NATIVE, op)(image, *arguments, **options)
    except Exception as error:
        with pytest.raises(type(error)) as ours:
            getattr(CNNEXT, op)(image, *arguments, **options)
        assert ours.type is type(error)
        assert mentioned in str(ours.value), ours.value
    else:
        assert_same_sums(getattr(CNNEXT, op)(image, *arguments, **options), native)


#: Bad options of avg_pool2d.
AVG_OPTIONS: dict[str, tuple[str, Any]] = {
    "kernel_zero": ("kernel_size", 0),
    "kernel_negative": ("kernel_size", (2, -1)),
    "kernel_float": ("kernel_size", 2.0),
    "kernel_bool": ("kernel_size", True),
    "kernel_none": ("kernel_size", None),
    "kernel_text": ("kernel_size", "2"),
    "kernel_of_three": ("kernel_size", (2, 2, 2)),
    "kernel_of_none": ("kernel_size", ()),
    "kernel_above_image": ("kernel_size", 7),
    "kernel_above_32_bits": ("kernel_size", 2**31),
    "stride_zero": ("stride", 0),
    "stride_negative": ("stride", -1),
    "stride_of_three": ("stride", (1, 1, 1)),
    "stride_above_32_bits": ("stride", 2**31),
    "padding_above_half": ("padding", 2),
    "padding_negative": ("padding", (0, -1)),
    "padding_none": ("padding", None),
    "ceil_mode_int": ("ceil_mode", 1),
    "count_include_pad_none": ("count_include_pad", None),
    "divisor_zero": ("divisor_override", 0),
    "divisor_float": ("divisor_override", 2.0),
    "divisor_bool": ("divisor_override", True),
    "divisor_above_64_bits": ("divisor_override", 2**63),
    "divisor_lowest": ("divisor_override", -(2**63)),
}

#: What an adaptive pool may be asked for, if not always of every image.
SIZES: dict[str, Any] = {
    "int": 3,
    "pair": (2, 5),
    "list": [2, 5],
    "torch_size": torch.Size((2, 5)),
    "none_first": (None, 2),
    "none_last": [2, None],
    "both_none": (None, None),
    "numpy": np.int64(2),
    "numpy_pair": (np.int64(2), np.uint8(3)),
    "tensors": (torch.tensor(2), torch.tensor(3)),
    "tensor": torch.tensor(2),
    "zero": 0,
    "zero_first": (0, 2),
    "none": None,
    "negative": -1,
    "negative_last": (2, -2),
    "float": 1.5,
    "floats": (1.5, 2),
    "bool": True,
    "text": "2",
    "one_in_a_tuple": (2,),
    "three": (2, 2, 2),
    "empty": (),
    "above_32_bits": 2**62,
    "above_64_bits": 2**64,
}


@pytest.mark.parametrize("gradient", (False, True), ids=("no_grad", "grad"))
@pytest.mark.parametrize(
    ("op", "name", "value"),
    [pytest.param(AVG, *option, id=f"{AVG}-{id}") for id, option in AVG_OPTIONS.items()]
    + [
        pytest.param(op, "output_size", size, id=f"{op}-{id}")
        for op in (ADAPTIVE_AVG, ADAPTIVE_MAX)
        for id, size in SIZES.items()
    ],
)
def test_options(op: str, name: str, value: Any, gradient: bool) -> None:
    image = image_of(2, 4, 6, 6).requires_grad_(gradient)
    options = {"kernel_size": 3, name: value} if op == AVG else {name: value}
    check_delegated(op, f"{name}={value!r}", image, **options)


#: Images that a pool takes, and others.
SHAPES = (
    *((), (6,), (6, 6), (1, 2, 4, 6, 6), (2, 0, 6, 6), (2, 4, 0, 6)),
    *((0, 6, 6), (4, 6, 0), (0, 4, 6, 6), (0, 4, 0, 6), (4, 6, 6), (2, 4, 6, 6)),
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", (AVG, ADAPTIVE_AVG, ADAPTIVE_MAX))
def test_shapes(op: str, shape: tuple[int, ...]) -> None:
    check_delegated(op, f"input.shape={list(shape)}", torch.ones(shape), 2)


@pytest.mark.parametrize("wanted", (1, None, "yes", torch.tensor(True)), ids=repr)
@pytest.mark.parametrize("op", (MAX, ADAPTIVE_MAX))
def test_return_indices_is_any_truth(op: str, wanted: Any) -> None:
    check_delegated(op, "", image_of(2, 4, 6, 6), 2, return_indices=wanted)

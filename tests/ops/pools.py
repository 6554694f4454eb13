"""What the tests of average and of adaptive pools share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cnnext.testing.errors import make_input
from tests.ops.support import (
    CNNEXT,
    LAYOUTS,
    NATIVE,
    VIEWS,
    VIEWS_4D,
    Problem,
    assert_same_sums,
    check_everything,
    generator_for,
    order_in_memory,
    seed_gradient,
)


def image_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return make_input("normal", shape, generator_for("pool", shape), dtype)


def problem_of(op: str, image: Tensor, *arguments: Any, **options: Any) -> Problem:
    def apply(library: Any, values: Any) -> tuple[Tensor]:
        return (getattr(library, op)(values[0], *arguments, **options),)

    return Problem(apply, (image,))


def _check(problem: Problem) -> None:
    # Native's gradient of a global mean lies in memory as its gradient of the output, expanded.
    check_everything(problem, image_strides=problem.native_outputs[0].shape[-2:] != (1, 1))


def check_views(op: str, shape: tuple[int, ...], dtype: torch.dtype, *arguments: Any) -> None:
    """Images in any memory, batched and not; gradients in any memory."""
    image = image_of(shape, dtype)
    for view in VIEWS_4D.values():
        _check(problem_of(op, view(image), *arguments))
    for view in VIEWS.values():
        _check(problem_of(op, view(image[0]), *arguments))
    for layout in LAYOUTS.values():
        problem = problem_of(op, image.contiguous(memory_format=layout), *arguments)
        for view in VIEWS_4D.values():
            seeded = replace(problem, seed=lambda y, view=view: view(seed_gradient(y)))
            seeded.check_gradients(seeded.gradients(CNNEXT))


def check_sizes_of_one(op: str, *arguments: Any) -> None:
    shapes = ((2, 1, 5, 6), (2, 3, 5, 1), (2, 3, 1, 6), (1, 3, 5, 6), (1, 1, 4, 4), (1, 1, 1, 1))
    for shape in shapes:
        for layout in LAYOUTS.values():
            problem = problem_of(op, image_of(shape).contiguous(memory_format=layout), *arguments)
            _check(problem)


def check_same_as_native(op: str, image: Tensor, *arguments: Any, **options: Any) -> None:
    """Values, sizes and order in memory; of calls in which nothing may be rounded."""
    ours, native = (
        getattr(library, op)(image, *arguments, **options) for library in (CNNEXT, NATIVE)
    )
    torch.testing.assert_close(ours, native, rtol=0, atol=0, equal_nan=True)
    assert order_in_memory(ours) == order_in_memory(native)


def check_unbatched_results(op: str, *arguments: Any) -> None:
    """No views, and contiguous, as native's."""
    with torch.no_grad():
        output = getattr(CNNEXT, op)(image_of((3, 5, 5)), *arguments)
    output.mul_(torch.ones(output.shape, requires_grad=True))  # not of a view made in no_grad mode
    pixels = image_of((1, 1, 5)).permute(2, 0, 1)
    for image in (image_of((3, 5, 5)), pixels):
        ours, native = (getattr(library, op)(image, *arguments) for library in (CNNEXT, NATIVE))
        assert not ours._is_view()
        assert ours.stride() == native.stride()


def check_training_of_exported(op: str, *arguments: Any) -> None:
    """A program exported without gradients has them all the same."""

    class Pool(torch.nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            return getattr(CNNEXT, op)(input, *arguments)

    image = image_of((2, 3, 6, 6))
    for strict in (False, True):
        program = torch.export.export(Pool(), (image,), strict=strict)
        leaves = [image.clone().requires_grad_() for _ in range(2)]
        for leaf, pool in zip(leaves, (program.module(), Pool()), strict=True):
            pool(leaf).sum().backward()
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=0, atol=0)


def check_infinities_stay_in_their_windows(op: str, *arguments: Any) -> None:
    """Sums of one window must not reach another by way of a shared partial sum."""
    for layout in LAYOUTS.values():
        for special in (torch.inf, -torch.inf, torch.nan):
            image = torch.ones(2, 20, 9, 40).contiguous(memory_format=layout)
            image[0, 3, 4, 17] = image[1, 19, 8, 39] = special
            check_same_as_native(op, image, *arguments)


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

#: Images that a pool takes, and others.
SHAPES = (
    *((), (6,), (6, 6), (1, 2, 4, 6, 6), (2, 0, 6, 6), (2, 4, 0, 6)),
    *((0, 6, 6), (4, 6, 0), (0, 4, 6, 6), (0, 4, 0, 6), (4, 6, 6), (2, 4, 6, 6)),
)


def check_delegated(op: str, call: Callable[[Any], Any], mentioned: str) -> None:
    """cnnext raises what native raises, with the argument and its value; or both take it."""
    try:
        native = call(getattr(NATIVE, op))
    except Exception as error:
        with pytest.raises(type(error)) as ours:
            call(getattr(CNNEXT, op))
        assert ours.type is type(error)
        assert mentioned in str(ours.value), ours.value
    else:
        assert_same_sums(call(getattr(CNNEXT, op)), native)

"""Conv2d: every padding mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.testing.errors import make_input
from tests.ops.support import CNNEXT, DTYPES, NATIVE, VIEWS_4D, Problem, check_everything

MODES = ("zeros", "reflect", "replicate", "circular")
PADDINGS = (1, (0, 2), (2, 1), "same", "valid")


def as_problem(build: Any, image: Tensor) -> Problem:
    """The module as a function of its input and parameters."""
    modules = {id(NATIVE): build(nn), id(CNNEXT): build(cnnext)}
    modules[id(CNNEXT)].load_state_dict(modules[id(NATIVE)].state_dict())
    names = [name for name, _ in modules[id(NATIVE)].named_parameters()]

    def apply(library: Any, values: Any) -> tuple[Tensor]:
        parameters = dict(zip(names, values[1:], strict=True))
        return (torch.func.functional_call(modules[id(library)], parameters, values[0]),)

    parameters = (p.detach() for p in modules[id(NATIVE)].parameters())
    return Problem(apply, (image, *(p.to(image.dtype) for p in parameters)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", ("dense", "channels_last"))
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(
    mode: str, padding: Any, view: str, dtype: torch.dtype, generator: torch.Generator
) -> None:
    """The kernel's sides differ, so that a mix-up of axes or sides shows."""

    def build(layers: Any) -> nn.Module:
        return layers.Conv2d(3, 4, (4, 3), padding=padding, padding_mode=mode)

    image = VIEWS_4D[view](make_input("normal", (2, 3, 7, 8), generator, dtype))
    check_everything(as_problem(build, image))
    check_everything(as_problem(build, image[0]))


@pytest.mark.parametrize("mode", MODES)
def test_padding_larger_than_the_input_raises_what_native_raises(mode: str) -> None:
    image = torch.ones(1, 2, 3, 3)
    options = {"padding": 5, "padding_mode": mode}
    try:
        expected = nn.Conv2d(2, 3, 3, **options)(image).shape
    except RuntimeError as error:
        with pytest.raises(type(error)):
            cnnext.Conv2d(2, 3, 3, **options)(image)
    else:
        assert cnnext.Conv2d(2, 3, 3, **options)(image).shape == expected

"""What models spell out for want of a function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnnext.optimization.capture import captured
from tests.optimization.support import assert_close, reference, run_captured


class Between(nn.Module):
    """A function between two convolutions."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 2, 1)
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self._function(self.before(x)))


def by_size(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


def by_shape(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    y = x.reshape(n, 4, c // 4, h, w).permute(0, 2, 1, 3, 4)
    return torch.reshape(y, (n, c, h, w))


def by_size_of_a_dimension(x: Tensor) -> Tensor:
    y = torch.reshape(x, (x.size(0), 2, -1, x.size(2), x.size(-1)))
    y = torch.transpose(y, 2, 1).contiguous()
    return y.view(x.size(0), x.size(1), x.size(2), x.size(3))


def of_any_batch(x: Tensor) -> Tensor:
    _, c, h, w = x.size()
    y = x.view(-1, 2, c // 2, h, w).permute((0, 2, 1, 3, 4)).contiguous()
    return y.view(-1, c, h, w)


def used_before_the_end(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    y = x.view(n, 2, c // 2, h, w).transpose(1, 2)
    return y.reshape(n, c, h, w) + y.sin().flatten(1, 2)


def of_groups_of_images(x: Tensor) -> Tensor:
    """The batch is not x's: two images of the result are one of x."""
    _, c, h, w = x.size()
    y = x.view(-1, 2, c // 4, h, w).transpose(1, 2).contiguous()
    return y.view(-1, c, h, w)


def of_other_dimensions(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, 2, c // 2, h, w).transpose(2, 3).reshape(n, c, h, w)


def of_turned_images(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, 2, c // 2, w, h).transpose(1, 2).reshape(n, c, h, w)


def of_rows(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, 2, c // 2 * h, w).transpose(1, 2).reshape(n, c, h, w)


SHUFFLES = (by_size, by_shape, by_size_of_a_dimension, of_any_batch)
OTHERS = (used_before_the_end, of_groups_of_images, of_other_dimensions, of_turned_images, of_rows)


@pytest.mark.parametrize("function", (*SHUFFLES, *OTHERS), ids=lambda each: each.__name__)
def test_channel_shuffle(function: Callable[[Tensor], Tensor]) -> None:
    model, x = Between(function).eval(), torch.randn(4, 3, 6, 8)
    expected = reference(model, x)
    whole = captured(model, x)
    assert (len(whole.parts) == 1 and not whole.native) == (function in SHUFFLES)
    assert_close(run_captured(whole, model, x), expected)

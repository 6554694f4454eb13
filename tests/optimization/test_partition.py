"""Which calls become a part together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnext.optimization.capture import captured
from cnnext.optimization.passes import optimized
from tests.optimization.networks import network
from tests.optimization.support import assert_close, graph_of, reference, run_captured


class Model(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.linear = nn.Linear(4, 5)
        self.native, self._function = nn.GroupNorm(2, 4), function

    def forward(self, x: Tensor) -> Any:
        return self._function(self, x)


def between(m: Any, x: Tensor) -> Tensor:
    return m.b(m.native(m.a(x)))


def around(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    return m.b(m.native(y)) + y


def beside(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    return m.native(y) * 2 - m.b(y)


def late_but_independent(m: Any, x: Tensor) -> Tensor:
    y = m.native(m.a(x))
    z = m.b(m.a(x).relu())
    return y - z


def pieces_for_both(m: Any, x: Tensor) -> Tensor:
    left, right = m.a(x).chunk(2, 1)
    y = torch.cat([right, left], 1)
    return m.b(m.native(y)) + torch.cat((left, right), 1)


def pieces_of_what_comes_from_before(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    left, right = m.native(y).chunk(2, 1)
    first, second = y.chunk(2, 1)
    return torch.cat([left, second], 1) - torch.cat([first, right], 1).relu()


def pieces_of_a_skip(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    z = m.b(m.native(y)) + y
    left, right = z.chunk(2, 1)
    return m.b(torch.cat([right, left], 1))


def several_outputs(m: Any, x: Tensor) -> dict[str, Any]:
    y = m.a(x)
    return {"y": y, "both": [m.b(y), y.relu()], "size": y.size(2)}


def sequence(m: Any, x: Tensor) -> Tensor:
    """A linear layer of more than two dimensions."""
    return m.linear(m.a(x).flatten(2).transpose(1, 2))


def nothing_supported(m: Any, x: Tensor) -> Tensor:
    return x.sin().flatten(1)


def asserting(m: Any, x: Tensor) -> Tensor:
    """What is asserted is known of any image."""
    y = m.a(x)
    torch._assert(y.ndim == 4, "an image")
    torch._assert(y.dim() > 2, f"an image, not {y.dim()}")
    torch._assert(y.shape[1] == 4, "four channels")
    torch._assert(y.size(-3) < 5, "four channels")
    return m.b(y.relu())


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        *((between, 2), (around, 2), (beside, 1), (late_but_independent, 1)),
        *((pieces_for_both, 2), (pieces_of_what_comes_from_before, 1), (pieces_of_a_skip, 2)),
        *((several_outputs, 1), (sequence, 1), (nothing_supported, 0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("with_example", [False, True], ids=["without-example", "with-example"])
def test_parts(function: Callable[..., Any], parts: int, with_example: bool) -> None:
    model, x = Model(function).eval(), torch.randn(2, 3, 8, 8)
    expected = reference(model, x)
    whole = captured(model, x if with_example else None)
    assert len(whole.parts) == parts
    result = run_captured(whole, model, x)
    if isinstance(expected, dict):
        assert result["size"] == expected["size"]
        expected = (expected["y"], *expected["both"])
        result = (result["y"], *result["both"])
    assert_close(result, expected)


@pytest.mark.parametrize("with_example", [False, True], ids=["without-example", "with-example"])
def test_what_is_known_is_not_asserted(with_example: bool) -> None:
    """The value would have to leave the part for that."""
    model, x = Model(asserting).eval(), torch.randn(2, 3, 8, 8)
    whole = captured(model, x if with_example else None)
    assert not whole.native
    (part,) = whole.parts
    assert len(part.graph.outputs) == 1
    assert_close(run_captured(whole, model, x), reference(model, x))


def asserting_rows(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    torch._assert(y.shape[2] == 8, "eight rows")
    return m.b(y.relu())


def asserting_dimensions(m: Any, x: Tensor) -> Tensor:
    torch._assert(x.ndim == 4, "a batch")
    return m.b(m.a(x).relu())


@pytest.mark.parametrize(
    ("function", "shape"),
    [(asserting_rows, (2, 3, 9, 8)), (asserting_dimensions, (3, 8, 8))],
    ids=["rows", "dimensions"],
)
def test_what_depends_on_the_image_is_asserted(
    function: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    model = Model(function).eval()
    whole = captured(model, torch.randn(2, 3, 8, 8))
    assert "_assert" in [each.call for each in whole.native]
    with pytest.raises(AssertionError, match="eight rows|a batch"):
        run_captured(whole, model, torch.randn(shape))


def test_a_size_keeps_no_layer_from_being_fused() -> None:
    """A lateral convolution whose size is asked for still takes the sum into its last store."""
    graph = optimized(graph_of(network("FeaturePyramid").eval()))
    assert {node.operator for node in graph.nodes} == {"input", "conv2d", "upsample_nearest"}


def test_a_size_of_what_is_native() -> None:
    def function(m: Any, x: Tensor) -> Tensor:
        like = m.native(m.a(x))
        return nn.functional.interpolate(m.b(nn.functional.max_pool2d(like, 2)), like.shape[-2:])

    model, x = Model(function).eval(), torch.randn(2, 3, 9, 8)
    expected = reference(model, x)
    whole = captured(model, x)
    assert [call.call for call in whole.native] == ["GroupNorm"]
    assert_close(run_captured(whole, model, x), expected)

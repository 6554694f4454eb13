"""What torch.export captured, optimized: what it is used for, and what it notices."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.runtime.fallback import NativeFallbackWarning
from tests.optimization.export_networks import (
    MODELS,
    Asserting,
    Constants,
    Looping,
    OneImage,
    OnShape,
    Structured,
    leaves,
)
from tests.optimization.support import randomized


def assert_same(actual: Any, expected: Any) -> None:
    """Equal but for the rounding of float32."""
    assert type(actual) is type(expected)
    for one, other in zip(leaves(actual), leaves(expected), strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))
        else:
            assert one == other and type(one) is type(other)


def check(fast: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Calls without a fallback."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", NativeFallbackWarning)
        cnnext.runtime.fallback._noticed.clear()
        assert_same(fast(*args, **kwargs), fast.original(*args, **kwargs))


def check_native(fast: nn.Module, *args: Any, reason: str, **kwargs: Any) -> None:
    """Calls that the model itself computes."""
    cnnext.runtime.fallback._noticed.clear()
    with torch.no_grad():
        with pytest.warns(NativeFallbackWarning, match=reason):
            actual = fast(*args, **kwargs)
        assert_same(actual, fast.original(*args, **kwargs))


@pytest.mark.parametrize("build", MODELS)
def test_it_is_used_for_all_sizes_that_take_the_same_way(build: Callable[[], nn.Module]) -> None:
    fast = cnnext.optimize(randomized(build()), torch.randn(1, 3, 12, 16))
    assert fast.report().captured_by == "torch.export"
    assert "captured by torch.export" in str(fast.report())
    for size in ((2, 3, 12, 16), (1, 3, 18, 12), (5, 3, 8, 20)):
        check(fast, torch.randn(size))


def test_other_sizes_are_computed_by_the_model() -> None:
    fast = cnnext.optimize(randomized(OnShape()), torch.randn(1, 3, 12, 16))
    check(fast, torch.randn(2, 3, 20, 40))
    check_native(fast, torch.randn(2, 3, 21, 40), reason="other sizes")
    with pytest.raises(ValueError, match="expected 3 channels"):
        fast(torch.randn(2, 4, 12, 16))


def test_a_size_of_one_is_tried_first() -> None:
    fast = cnnext.optimize(randomized(OneImage()), torch.randn(2, 3, 12, 16))
    assert fast.report().captured_by == "torch.export"
    check(fast, torch.randn(3, 3, 9, 9))
    check_native(fast, torch.randn(1, 3, 12, 16), reason="other sizes")
    alone = cnnext.optimize(randomized(OneImage()), torch.randn(1, 3, 12, 16))
    assert alone.report().captured_by != "torch.export"
    check(alone, torch.randn(1, 3, 12, 16))
    check(alone, torch.randn(2, 3, 12, 16))


def test_arguments() -> None:
    """By name, defaults given or not; and those that the example did not have."""
    fast = cnnext.optimize(randomized(Structured()), torch.randn(1, 3, 12, 16))
    x = torch.randn(2, 3, 8, 8)
    check(fast, x)
    check(fast, x=x)
    check(fast, x, None, return_dict=True)
    labels = torch.tensor([0, 3])
    reason = "arguments are not those of the example"
    check_native(fast, x, labels, reason=reason)
    check_native(fast, x, return_dict=False, reason=reason)
    check_native(fast, x, scale=2.0, reason=reason)
    with_labels = cnnext.optimize(fast.original, (torch.randn(2, 3, 12, 16), labels, False))
    check(with_labels, x, labels, False)
    check_native(with_labels, x, labels, True, reason=reason)
    with pytest.raises(TypeError):
        fast(x, nothing_of_this=1, labels=labels, x=x)


def test_several_images() -> None:
    fast = cnnext.optimize(randomized(Looping()), (torch.randn(1, 3, 9, 8),) * 2)
    check(fast, torch.randn(2, 3, 7, 7), torch.randn(2, 3, 7, 7))
    check_native(fast, torch.randn(2, 3, 7, 7), reason="arguments")


def test_another_dtype_is_computed_by_the_model() -> None:
    model = randomized(Asserting())
    fast = cnnext.optimize(model, torch.randn(1, 3, 12, 16))
    model.double()
    check_native(fast, torch.randn(1, 3, 12, 16).double(), reason="arguments")


@pytest.mark.parametrize("path", ["first.conv.weight", "second.norm.running_var", "shift", "scale"])
@pytest.mark.parametrize("change", ["written", "replaced"])
def test_changes_of_weights_are_noticed(path: str, change: str) -> None:
    model, x = randomized(Constants()), torch.randn(2, 3, 12, 16)
    fast = cnnext.optimize(model, x)
    before = fast(x)
    owner, _, name = path.rpartition(".")
    tensor = getattr(model.get_submodule(owner), name)
    new = tensor.detach() * 1.5 + 0.5
    if change == "written":
        with torch.no_grad():
            tensor.copy_(new)
    else:
        new = nn.Parameter(new) if isinstance(tensor, nn.Parameter) else new
        setattr(model.get_submodule(owner), name, new)
    check(fast, x)
    assert not torch.allclose(fast(x), before)


def test_copies() -> None:
    fast = cnnext.optimize(randomized(Asserting()), torch.randn(1, 3, 12, 16))
    file = io.BytesIO()
    torch.save(fast, file)
    file.seek(0)
    copies = (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast)))
    for again in (*copies, torch.load(file, weights_only=False)):
        assert again.report().captured_by == "torch.export"
        check(again, torch.randn(3, 3, 8, 8))
    assert cnnext.restore(fast) is fast.original

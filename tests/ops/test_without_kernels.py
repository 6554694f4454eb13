"""Modules that are ours by name, and computed by native PyTorch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import cnnext
from cnnext.ops.without_kernels import WITHOUT_KERNELS

each_module = pytest.mark.parametrize("cls", WITHOUT_KERNELS, ids=lambda cls: cls.__name__)


def native_of(cls: type[nn.Module]) -> type[nn.Module]:
    native: type[nn.Module] = getattr(nn, cls.__name__)
    return native


def built(cls: type[nn.Module]) -> nn.Module:
    arguments = {"AdaptiveAvgPool1d": 3, "Softmax": 1}
    return cls(arguments[cls.__name__])


@each_module
def test_all_but_the_name_is_natives(cls: type[nn.Module]) -> None:
    native = native_of(cls)
    assert cls.__bases__ == (native,)
    assert vars(cls).keys().isdisjoint({"__init__", "__call__", "forward", "extra_repr"})
    assert getattr(cnnext, cls.__name__) is getattr(cnnext.nn, cls.__name__) is cls
    assert cls not in cnnext.nn.SWAPPED and cls not in cnnext.nn.MODULES
    ours = built(cls)
    assert repr(ours) == repr(built(native))
    assert isinstance(built(native), cls)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(other) is cls and repr(other) == repr(ours)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_module
def test_results_and_gradients_are_natives_to_the_bit(cls: type[nn.Module]) -> None:
    """Scripted, too."""
    rows = torch.randn(2, 3, 7)
    results = []
    for module in (built(cls), built(native_of(cls)), torch.jit.script(built(cls))):
        leaf = rows.clone().requires_grad_()
        output = module(leaf)
        output.square().sum().backward()
        results.append((output, leaf.grad))
    for ours in (results[0], results[2]):
        assert all(map(torch.equal, ours, results[1]))


@each_module
def test_conversion(cls: type[nn.Module]) -> None:
    """Nothing is gained by a swap, and only the way back is one."""
    native, ours = native_of(cls), nn.ModuleList([built(cls)])
    theirs = nn.ModuleList([built(native)])
    assert type(cnnext.convert(theirs)[0]) is native
    assert cnnext.report(theirs).unsupported == {f"torch.nn.{cls.__name__}": 1}
    assert type(cnnext.convert(ours)[0]) is cls
    (row,) = cnnext.report(ours).layers
    assert (row.type, row.status) == (f"cnnext.nn.{cls.__name__}", "kept")
    assert row.reason == f"native PyTorch computes it: {WITHOUT_KERNELS[cls]}"
    assert type(cnnext.restore(ours)[0]) is native


def test_plans_have_them() -> None:
    model = cnnext.Sequential(
        cnnext.Conv2d(3, 4, 3), cnnext.Sigmoid(), cnnext.Dropout(), cnnext.Conv2d(4, 5, 3),
        cnnext.Tanh(), cnnext.Softmax(1),
    ).eval()  # fmt: skip
    image = torch.randn(2, 3, 9, 9)
    fast = cnnext.optimize(model, image, strict=True)
    torch.testing.assert_close(fast(image), model(image))
    assert [step.line.split()[0] for step in fast.report(image).steps] == [
        *("conv2d", "conv2d", "softmax", "output")
    ]


def test_symbolic_traces_hold_them() -> None:
    traced = torch.fx.symbolic_trace(nn.Sequential(cnnext.Softmax(1), cnnext.Dropout()))
    assert [type(module) for module in traced.children()] == [cnnext.Softmax, cnnext.Dropout]
    assert [node.op for node in traced.graph.nodes][1:-1] == ["call_module", "call_module"]

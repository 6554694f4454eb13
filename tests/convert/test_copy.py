"""The copy that `convert` makes, and what it shares with the original."""

import gc
import threading
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import cnnext
from cnnext.conversion.swap import convert, restore
from tests.convert.architectures import images, sequential, types
from tests.ops.support import assert_same_sums


def test_inplace_returns_the_model_itself() -> None:
    model = sequential()
    first = model[0]
    assert convert(model, inplace=True) is model
    assert model[0] is first
    assert restore(model, inplace=True) is model


def test_the_original_is_untouched_by_a_copy(model: nn.Module) -> None:
    before, attributes = types(model), {m: dict(vars(m)) for m in model.modules()}
    converted = convert(model)
    assert types(model) == before
    assert {m: dict(vars(m)) for m in model.modules()} == attributes
    assert not set(converted.modules()) & set(model.modules())


def test_references_inside_the_model_lead_to_the_copies() -> None:
    model = sequential()
    model.by_index = [model[0], {"head": model[7]}]
    model.apply_first = model[0].forward
    model[0].parent = (model,)
    model.by_index.append(model.by_index)
    converted = convert(model)
    assert converted.by_index[0] is converted[0]
    assert converted.by_index[1]["head"] is converted[7]
    assert converted.by_index[2] is converted.by_index
    assert converted.apply_first.__self__ is converted[0]
    assert converted[0].parent[0] is converted


def test_modules_outside_the_tree_are_shared() -> None:
    model, teacher = sequential(), sequential()
    model.teacher = [teacher]
    converted = convert(model)
    assert converted.teacher[0] is teacher
    assert type(teacher[0]) is nn.Conv2d


def test_plain_attributes_are_copied_and_tensors_shared() -> None:
    model = sequential()
    model.config = {"sizes": [1, 2]}
    model.activation = model[0].weight * 2  # not a leaf: copy.deepcopy refuses it
    model.cache = [model.activation]
    converted = convert(model)
    converted.config["sizes"].append(3)
    assert model.config == {"sizes": [1, 2]}
    assert converted.activation is model.activation
    assert converted.cache[0] is model.activation


def test_what_cannot_be_copied_is_shared() -> None:
    model = sequential()
    model.lock = threading.Lock()
    model[0].held = [model[1], model.lock]
    converted = convert(model)
    assert converted.lock is model.lock
    assert converted[0].held == [converted[1], model.lock]
    assert type(converted[0]) is cnnext.nn.Conv2d


class Alone(nn.Module):
    """Shares itself with every copy of the model, or refuses to be copied."""

    def __init__(self, refuses: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.refuses = refuses

    def __deepcopy__(self, memo: dict[int, Any]) -> "Alone":
        if self.refuses:
            raise RuntimeError("not to be copied")
        return self


@pytest.mark.parametrize("refuses", [True, False])
def test_a_module_that_stays_alone_is_shared_and_not_swapped(refuses: bool) -> None:
    model = nn.Sequential(Alone(refuses), nn.Linear(2, 2))
    converted = convert(model)
    assert converted[0] is model[0]
    assert type(model[0].layer) is nn.Linear
    assert type(converted[1]) is cnnext.nn.Linear
    assert type(model[1]) is nn.Linear


def test_a_traced_graph_is_converted() -> None:
    graph = torch.fx.symbolic_trace(sequential().eval())
    converted = convert(graph)
    x = images()
    assert_same_sums(converted(x), graph(x))
    assert type(converted.get_submodule("0")) is cnnext.nn.Conv2d
    assert type(graph.get_submodule("0")) is nn.Conv2d


def test_a_compiled_model_is_converted() -> None:
    compiled = torch.compile(sequential().eval(), backend="eager")
    x = images()
    expected = compiled(x)
    converted = convert(compiled)
    assert_same_sums(converted(x), expected)
    assert type(converted._orig_mod[0]) is cnnext.nn.Conv2d
    assert type(compiled._orig_mod[0]) is nn.Conv2d


def test_weak_references_inside_the_model_lead_to_the_copies() -> None:
    model = sequential()
    model[0].parent = weakref.proxy(model)
    model[0].parents = ({"ref": weakref.ref(model)}, [weakref.proxy(model[7]), len])
    converted = convert(model)
    assert model[0].parent[1] is model[1]
    del model  # as in model = convert(model)
    gc.collect()
    assert converted[0].parent[1] is converted[1]
    assert converted[0].parents[0]["ref"]() is converted
    assert converted[0].parents[1][0].weight is converted[7].weight


def _dead_proxy() -> Any:
    return weakref.proxy(nn.ReLU())


@pytest.mark.parametrize("swap", [convert, restore])
@pytest.mark.parametrize("inplace", [False, True])
def test_attributes_of_all_kinds(swap: Any, inplace: bool) -> None:
    """Whatever a module holds: weak, without a copy, with a state of its own."""
    outside = nn.ReLU()

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = sequential()
            self.weak = [_dead_proxy(), {"outside": weakref.proxy(outside)}]
            self.weak_function = weakref.proxy(_dead_proxy)
            self.weak.append(weakref.proxy(torch.ones(2)))
            self.lock = threading.RLock()
            self.optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            self.generator = torch.Generator().manual_seed(3)
            self.steps = (n for n in range(3))
            self.stream = open(__file__)  # noqa: SIM115
            self.local = threading.local()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.weak[1]["outside"].relu(x)
            return self.layers(x)

    model = Holder()
    model.layers.register_forward_hook(weakref.proxy(_dead_proxy))
    model.layers.register_forward_hook(_dead_proxy())
    result = swap(model, inplace=inplace)
    assert cnnext.report(result).layers
    assert type(result.weak[0]) in weakref.ProxyTypes
    assert result.weak[1]["outside"].inplace is False
    weights = [id(p) for group in result.optimizer.param_groups for p in group["params"]]
    assert weights == [id(p) for p in model.parameters()]
    assert result.lock is model.lock
    model.stream.close()

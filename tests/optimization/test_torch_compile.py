"""torch.compile(backend="cnnext"): what is planned, noticed, kept and computed with gradients."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils import _pytree as pytree

import cnnext
from cnnext.integrations import dynamo
from cnnext.optimization.planned_part import PlannedPart
from tests.optimization.support import randomized


class Net(nn.Module):
    """A residual block and a classifier: whole in a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = self.pool(self.relu(x + self.conv(x)))
        x = F.adaptive_avg_pool2d(x, 1)
        return self.head(self.drop(x.view(x.size(0), -1)))


class Runs:
    """How often parts ran as plans, and how many graphs Dynamo made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.planned = 0
        forward = PlannedPart.forward

        def counted(part: PlannedPart, *inputs: Tensor) -> Any:
            self.planned += 1
            return forward(part, *inputs)

        monkeypatch.setattr(PlannedPart, "forward", counted)

    @property
    def graphs(self) -> int:
        return counters["stats"]["unique_graphs"]


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", cnnext.NativeFallbackWarning)
        yield Runs(monkeypatch)
    torch._dynamo.reset()


@pytest.fixture
def net() -> nn.Module:
    return randomized(Net())


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 12, 10)


def compiled(function: Any, **options: Any) -> Any:
    return torch.compile(function, backend="cnnext", **options)


def assert_equal(actual: Any, expected: Any) -> None:
    """Equal but for the roundings of a few layers, and of the same layouts and kinds."""
    a, structure = pytree.tree_flatten(actual)
    b, expected_structure = pytree.tree_flatten(expected)
    assert structure == expected_structure
    for y, wanted in zip(a, b, strict=True):
        if not isinstance(wanted, Tensor):
            assert y == wanted
            continue
        assert y.requires_grad == wanted.requires_grad
        assert y.is_inference() == wanted.is_inference()
        assert y.stride() == wanted.stride()
        scale = float(wanted.detach().abs().max()) if wanted.numel() else 0
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-5 * scale)


def check(function: Callable[..., Any], *args: Any, **options: Any) -> None:
    """The function gives natively what it gives compiled, without gradients."""
    with torch.no_grad():
        assert_equal(compiled(function, **options)(*args), function(*args))


# ------------------------------------------------------------------------------ what is planned


def test_it_is_a_backend() -> None:
    assert "cnnext" in torch._dynamo.list_backends()


@pytest.mark.models
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "unet", "densenet121", "googlenet"])
def test_a_network_is_one_plan_for_all_sizes(name: str, runs: Runs) -> None:
    model = randomized(getattr(cnnext.models, name)(layers=nn))
    function = compiled(model, dynamic=True, fullgraph=True)
    for size in [(2, 3, 64, 96), (3, 3, 96, 64), (5, 3, 64, 64)]:
        image = torch.randn(size)
        with torch.no_grad():
            assert_equal(function(image), model(image))
    assert runs.graphs == 1
    assert runs.planned == 3


def test_a_graph_is_one_part_called_at_once(net: nn.Module, x: Tensor, runs: Runs) -> None:
    check(net, x, fullgraph=True)
    assert runs.planned == 1


def test_the_second_batch_or_size_is_the_last_to_be_compiled(net: nn.Module, runs: Runs) -> None:
    function = compiled(net)
    for size in [(2, 3, 8, 8), (3, 3, 10, 12), (4, 3, 12, 8), (7, 3, 16, 10), (2, 3, 30, 31)]:
        image = torch.randn(size)
        with torch.no_grad():
            assert_equal(function(image), net(image))
    assert runs.graphs == 2
    assert runs.planned == 5


def test_graphs_of_other_sizes_share_packed_weights(net: nn.Module) -> None:
    function = compiled(net)
    with torch.no_grad():
        function(torch.randn(2, 3, 8, 8))
        function(torch.randn(3, 3, 10, 12))
    mine = [key for key in dynamo._parts if f"tensor_{id(net.stem.weight)}" in str(key)]
    assert len(mine) == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_without_gradients(mode: Any, net: nn.Module, x: Tensor, runs: Runs) -> None:
    function = compiled(net)
    for _ in range(2):
        with mode():
            assert_equal(function(x), net(x))
    assert runs.planned == 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_within_what_is_compiled(mode: Any, net: nn.Module, x: Tensor, runs: Runs) -> None:
    function = mode()(net.forward)
    assert_equal(compiled(function)(x), function(x))
    assert torch.is_grad_enabled()
    assert runs.planned == 1


def test_frozen_parameters_are_for_inference(net: nn.Module, x: Tensor, runs: Runs) -> None:
    net.requires_grad_(False)
    assert_equal(compiled(net)(x), net(x))
    assert runs.planned == 1


def test_results_that_have_no_gradients(net: nn.Module, x: Tensor, runs: Runs) -> None:
    for function in (lambda x: net(x).detach(), lambda x: net(x).argmax(1)):
        assert_equal(compiled(function)(x), function(x))
    assert runs.planned == 2


def test_a_frozen_part_of_what_is_trained(x: Tensor, runs: Runs) -> None:
    class Tuned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = randomized(Net()).requires_grad_(False), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x))

    model = Tuned()
    function = compiled(model)
    for _ in range(2):
        function(x).square().sum().backward()
        got = [parameter.grad for parameter in model.head.parameters()]
        model.zero_grad()
        model(x).square().sum().backward()
        assert_equal(got, [parameter.grad for parameter in model.head.parameters()])
        model.zero_grad()
        with torch.no_grad():
            model.head.weight.add_(1)
    assert runs.planned == 2


# ------------------------------------------------------------------- changes of what was packed


def _written(net: Any) -> None:
    with torch.no_grad():
        net.stem.weight.mul_(2)


def _assigned_data(net: Any) -> None:
    net.conv.weight.data = net.conv.weight.data * 2


def _replaced(net: Any) -> None:
    net.conv.weight = nn.Parameter(net.conv.weight.detach() * 2)


def _loaded(net: Any) -> None:
    net.load_state_dict({name: value * 2 for name, value in net.state_dict().items()})


def _loaded_by_assignment(net: Any) -> None:
    state = {name: value * 2 for name, value in net.state_dict().items()}
    net.load_state_dict(state, assign=True)


def _buffer_written(net: Any) -> None:
    net.norm.running_var.mul_(3)


def _buffer_replaced(net: Any) -> None:
    net.norm.running_mean = net.norm.running_mean + 1


def _trained(net: Any) -> None:
    net.train()
    with torch.no_grad():
        net(torch.randn(2, 3, 12, 10))
    net.eval()


def _layer_replaced(net: Any) -> None:
    net.conv = nn.Conv2d(8, 8, 5, padding=2)


def _attribute_replaced(net: Any) -> None:
    net.pool.kernel_size = 3


def _number_replaced(net: Any) -> None:
    net.norm.eps = 1.0


@pytest.mark.parametrize(
    "change",
    [_written, _assigned_data, _replaced, _loaded, _loaded_by_assignment, _buffer_written]
    + [_buffer_replaced, _trained, _layer_replaced, _attribute_replaced, _number_replaced],
)
def test_changes_are_noticed(change: Any, net: nn.Module, x: Tensor, runs: Runs) -> None:
    # Dynamic sizes make inputs of numbers that layers have.
    function = compiled(net, dynamic=change is _number_replaced or None)
    with torch.no_grad():
        before = net(x)
        assert_equal(function(x), before)
        change(net)
        assert not torch.allclose(net(x), before, rtol=1e-3)
        assert_equal(function(x), net(x))
    assert runs.planned == 2


def test_weights_are_packed_once(net: nn.Module, x: Tensor, monkeypatch: Any) -> None:
    function, made = compiled(net), []
    with torch.no_grad():
        function(x)
        monkeypatch.setattr(dynamo, "_Plan", made.append)
        monkeypatch.setattr(PlannedPart, "refresh", made.append)
        function(x)
    assert not made


def test_tied_weights(x: Tensor) -> None:
    first, second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    function = compiled(model)
    with torch.no_grad():
        assert_equal(function(x), model(x))
        first.weight.mul_(2)
        assert_equal(function(x), model(x))
        second.weight = nn.Parameter(torch.randn(3, 3, 3, 3))
        assert_equal(function(x), model(x))


def test_models_of_a_class_have_their_own_plans(x: Tensor, runs: Runs, monkeypatch: Any) -> None:
    models = [randomized(Net()) for _ in range(3)]
    functions = [compiled(model) for model in models]
    with torch.no_grad():
        for model, function in zip(models, functions, strict=True):
            assert_equal(function(x), model(x))
        monkeypatch.setattr(dynamo, "_Plan", None)
        for model, function in zip(models, functions, strict=True):
            assert_equal(function(x), model(x))
    assert runs.graphs == 1


def test_copies_are_of_their_own_weights(net: nn.Module, x: Tensor) -> None:
    function = compiled(net)
    with torch.no_grad():
        function(x)
        other = copy.deepcopy(function)
        other.stem.weight.mul_(2)
        assert_equal(function(x), net(x))
        assert_equal(other(x), other._orig_mod(x))


def test_a_deleted_model_leaves_nothing(x: Tensor) -> None:
    net = randomized(Net())
    function = compiled(net)
    with torch.no_grad():
        function(x)
    seen = [weakref.ref(each) for each in net.parameters()]
    name = f"tensor_{id(net.stem.weight)}"
    del net, function
    gc.collect()
    assert all(each() is None for each in seen)
    assert not any(name in str(key) for key in dynamo._parts)


# -------------------------------------------------------------------------------- odd functions


conv, wide = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
offset = torch.randn(4, 1, 1)


def _sizes(x: Tensor) -> Any:
    y = conv(x)
    return (y.reshape(x.shape[0], -1)[:, : x.shape[2]] * x.shape[0], y.shape[2], None, 3, "word")


def _numbers_first(n: int, x: Tensor) -> Tensor:
    return conv(x) * n + x.shape[-1]


def _branches(x: Tensor) -> Tensor:
    a, b = conv(x).chunk(2, dim=1)
    return torch.cat([a, torch.sigmoid(b) * b], 1) + offset


def _names(x: Tensor) -> Any:
    y = conv(x)
    return {"y": y, "again": [y, y.detach()], "flat": y.flatten(1), "x": x, "view": x.flatten(1)}


def _copies(x: Tensor) -> Any:
    y = conv(x)
    return x.clone(), y, y.clone(), y.contiguous()


def _breaks(x: Tensor) -> Tensor:
    y = conv(x)
    torch._dynamo.graph_break()
    return wide(y) * y.shape[0]


def _sorted(x: Tensor) -> Tensor:
    return wide(conv(x).sort(dim=1).values.relu_())


def _weights_given(x: Tensor) -> Tensor:
    return wide(F.conv2d(x, x[:1, :, :3, :3].expand(4, 3, 3, 3)))


def _sized(x: Tensor) -> Tensor:
    return F.interpolate(conv(x), size=x.shape[2:], mode="bilinear")


FUNCTIONS = [_sizes, _branches, _names, _copies, _breaks, _sorted, _weights_given, _sized]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions(function: Any, dynamic: bool, x: Tensor, runs: Runs) -> None:
    check(function, x, dynamic=dynamic)
    assert runs.planned


@pytest.mark.parametrize("dynamic", [False, True])
def test_numbers_before_tensors(dynamic: bool, x: Tensor) -> None:
    check(_numbers_first, 7, x, dynamic=dynamic)


def test_keyword_arguments(x: Tensor) -> None:
    def function(x: Tensor, *, mask: Tensor | None = None, scale: float = 1.0) -> Tensor:
        y = conv(x) * scale
        return y if mask is None else y * mask

    with torch.no_grad():
        for given in ({"x": x}, {"x": x, "mask": torch.ones(2, 1, 12, 10)}, {"x": x, "scale": 2.5}):
            assert_equal(compiled(function)(**given), function(**given))


def test_channels_last_stays_channels_last(net: nn.Module, x: Tensor, runs: Runs) -> None:
    x = x.contiguous(memory_format=torch.channels_last)
    check(lambda x: wide(conv(x)), x)
    check(lambda x: conv(x).permute(0, 2, 3, 1).view(2, -1), x)
    check(net, x)
    assert runs.planned == 3


def test_views_stay_views_and_copies_copies(x: Tensor) -> None:
    for function in (_names, _copies):
        with torch.no_grad():
            results = pytree.tree_leaves(compiled(function)(x)), pytree.tree_leaves(function(x))
            same = [
                [a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr() for a in [x, *ys]]
                for ys in results
                for b in [x, *ys]
            ]
        half = len(same) // 2
        assert same[:half] == same[half:]


def test_inputs_that_are_overwritten(x: Tensor) -> None:
    def function(x: Tensor) -> Tensor:
        y = conv(x)
        x.add_(1)
        return y + conv(x)

    a, b = x.clone(), x.clone()
    with torch.no_grad(), pytest.warns(cnnext.NativeFallbackWarning, match="overwrites"):
        assert_equal(compiled(function)(a), function(b))
    assert_equal(a, b)


def test_buffers_that_are_overwritten(x: Tensor) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return self.conv(x) * self.calls

    model = Counting()
    other = copy.deepcopy(model)
    function = compiled(model)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            assert_equal(function(x), other(x))


def test_gradient_modes_in_the_middle(net: nn.Module, x: Tensor) -> None:
    def function(x: Tensor) -> Tensor:
        with torch.no_grad():
            y = net(x)
        return conv(x).mean() * y

    for mode in (torch.no_grad(), torch.enable_grad()):
        with mode:
            assert_equal(compiled(function)(x), function(x))


def test_transforms_of_torch_func(x: Tensor) -> None:
    def function(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: conv(x).square().sum())(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(function, x)
        check(torch.vmap(lambda x: conv(x)), x)


# ------------------------------------------------------------------------------------- training


def gradients(function: Any, model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    x = x.clone().requires_grad_()
    function(x).square().mean().backward()
    grads = [x.grad, *(parameter.grad for parameter in model.parameters())]
    return [grad.clone() for grad in grads if grad is not None]


def test_gradients_are_natives(net: nn.Module, x: Tensor, runs: Runs) -> None:
    function = compiled(net, fullgraph=True)
    assert_equal(function(x), net(x))
    assert_equal(gradients(function, net, x), gradients(net, net, x))
    assert runs.planned == 0


def test_gradients_run_through_our_operators(net: nn.Module, x: Tensor) -> None:
    nodes, left = set(), [compiled(net)(x).grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            left += [next for next, _ in node.next_functions]
    names = {type(node).__name__ for node in nodes}
    assert not {"ConvolutionBackward0", "MaxPool2DWithIndicesBackward0"} & names


def test_training_mode(net: nn.Module, x: Tensor) -> None:
    net.drop.p = 0.0
    other = copy.deepcopy(net.train()).train()
    function = compiled(net)
    for _ in range(2):
        assert_equal(gradients(function, net, x), gradients(other, other, x))
    assert_equal(list(net.buffers()), list(other.buffers()))
    with torch.no_grad():
        assert_equal(function.eval()(x), other.eval()(x))
        net.train()
        assert_equal(function(x), other.train()(x))
        assert_equal(function.eval()(x), other.eval()(x))


def test_training_and_evaluation_in_turns(net: nn.Module, x: Tensor, runs: Runs) -> None:
    function = compiled(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        function(x).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            assert_equal(function(x), net(x))
    assert runs.planned == 3
    assert runs.graphs == 2


# ----------------------------------------------------------------------------- what has no plan


def test_what_has_no_product_is_left_alone(x: Tensor, runs: Runs) -> None:
    check(lambda x: x.sum(1).relu(), x)
    assert not runs.planned


def test_another_dtype_gives_a_notice(net: nn.Module, x: Tensor, monkeypatch: Any) -> None:
    monkeypatch.setattr("cnnext.runtime.fallback._noticed", set())
    net.double()
    with torch.no_grad(), pytest.warns(cnnext.NativeFallbackWarning, match="cnnext.compile"):
        function = compiled(net)
        torch.testing.assert_close(function(x.double()), net(x.double()))
        function(x.double())


def test_autocast_gives_a_notice(net: nn.Module, x: Tensor, monkeypatch: Any) -> None:
    monkeypatch.setattr("cnnext.runtime.fallback._noticed", set())
    function = compiled(net)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        with pytest.warns(cnnext.NativeFallbackWarning):
            y = function(x)
        torch.testing.assert_close(y, net(x), rtol=0.05, atol=0.05)
    with torch.no_grad():
        assert_equal(function(x), net(x))


def test_converted_models(net: nn.Module, x: Tensor) -> None:
    check(cnnext.convert(net), x)


def test_optimized_models(net: nn.Module, x: Tensor, runs: Runs) -> None:
    check(cnnext.optimize(net), x)

"""Rows of layers that run as one function, in Sequential and in blocks: nobody can tell."""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import cnnext
from cnnext.models.resnet import BasicBlock, Bottleneck
from cnnext.ops.fused import layers
from cnnext.ops.fused.blocks import in_rows
from cnnext.ops.fused.recording import NotRecordable, record
from cnnext.testing.errors import make_input
from tests.ops.graphs import Compiled
from tests.ops.support import assert_same_sums, generator_for

NORM, NORM_CONV = "BatchNormFunctionBackward", "BatchNormConv2dFunctionBackward"


class Residual(nn.Module):
    """A block as users write them: functions beside layers, a shortcut added in place."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.conv1 = layers.Conv2d(6, 8, 3, padding=1, bias=False)
        self.bn1 = layers.BatchNorm2d(8)
        self.conv2 = layers.Conv2d(8, 6, 3, padding=1)
        self.bn2 = layers.BatchNorm2d(6)
        self.scale = 2.0

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x
        return torch.relu(out) * self.scale if self.scale != 1 else torch.relu(out)


def mobile(layers: Any) -> nn.Module:
    return layers.Sequential(
        layers.Sequential(
            layers.Conv2d(6, 12, 1, bias=False), layers.BatchNorm2d(12), nn.ReLU6(inplace=True)
        ),
        layers.Conv2d(12, 12, 3, padding=1, groups=12, bias=False),
        layers.BatchNorm2d(12),
        nn.ReLU6(inplace=True),
        layers.Conv2d(12, 6, 1),
        layers.BatchNorm2d(6),
    )


def dense(layers: Any) -> nn.Module:
    return layers.Sequential(
        layers.BatchNorm2d(6), layers.ReLU(inplace=True), layers.Conv2d(6, 5, 1, bias=False),
        layers.BatchNorm2d(5), layers.ReLU(inplace=True), layers.Conv2d(5, 4, 3, bias=False),
    )  # fmt: skip


def stem(layers: Any) -> nn.Module:
    return layers.Sequential(
        layers.Conv2d(6, 5, 3, stride=2), layers.BatchNorm2d(5), layers.ReLU(), layers.MaxPool2d(2)
    )


def shortcut(layers: Any) -> nn.Module:
    return layers.Sequential(layers.Conv2d(6, 16, 1, 2, bias=False), layers.BatchNorm2d(16))


#: By name: what builds the model, and the Functions in its graph.
MODELS: dict[str, tuple[Any, dict[str, int]]] = {
    "residual": (Residual, {NORM: 1, NORM_CONV: 1}),
    "basic_block": (lambda lib: BasicBlock(6, 6, layers=lib), {NORM: 1, NORM_CONV: 1}),
    "bottleneck": (
        lambda lib: Bottleneck(6, 4, 2, shortcut(lib), layers=lib),
        {NORM: 2, NORM_CONV: 2},
    ),
    "mobile": (mobile, {NORM: 1, NORM_CONV: 2}),
    "dense": (dense, {NORM_CONV: 2}),
    "stem": (stem, {NORM: 1}),
}
each_model = pytest.mark.parametrize("name", MODELS)


def build(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """Ours and native, with the same parameters."""
    native = MODELS[name][0](nn)
    generator = generator_for(name)
    for parameter in native.parameters():
        with torch.no_grad():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    ours = MODELS[name][0](cnnext.nn)
    ours.load_state_dict(native.state_dict())
    return ours.to(dtype), native.to(dtype)


def image(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    return make_input("normal", (3, 6, 8, 10), generator_for("image", name), dtype)


def outcome(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, the gradients of input and parameters, and the buffers afterwards."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    output = model(x)
    noise = torch.randn(output.shape, generator=generator_for("noise"), dtype=x.dtype)
    gradients = torch.autograd.grad(output, [x, *model.parameters()], noise)
    return [output, *gradients, *model.buffers()]


def functions(output: Tensor) -> dict[str, int]:
    """How many Functions of each kind lie behind a tensor, of those that run rows."""
    found: dict[str, int] = {}
    for node in nodes(output):
        if node.name() in (NORM, NORM_CONV):
            found[node.name()] = found.get(node.name(), 0) + 1
    return found


def nodes(output: Tensor) -> Iterator[Any]:
    pending, seen = [output.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            pending += [other for other, _ in node.next_functions]


# ------------------------------------------------------------------------------------ results


@each_model
@pytest.mark.parametrize("training", (True, False), ids=("training", "evaluation"))
@pytest.mark.parametrize("layout", (torch.contiguous_format, torch.channels_last), ids=str)
def test_every_result_is_native_s(name: str, training: bool, layout: torch.memory_format) -> None:
    ours, native = build(name)
    x = image(name).to(memory_format=layout)
    for model in (ours, native):
        model.train(training)
    assert functions(ours(x)) == MODELS[name][1]
    native(x)  # counted twice as well
    assert_same_sums(outcome(ours, x), outcome(native, x), terms=100)


@each_model
def test_the_result_without_gradients_is_the_same(name: str) -> None:
    ours, native = build(name)
    ours, native = ours.eval(), native.eval()
    with torch.no_grad():
        assert_same_sums(ours(image(name)), native(image(name)), terms=10)


@each_model
def test_first_and_second_derivatives(name: str) -> None:
    model, _ = build(name, torch.float64)
    x = image(name, torch.float64)[:2].clone().requires_grad_()
    names = [name for name, _ in model.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, given, x)

    parameters = tuple(model.parameters())
    assert functions(model(x))
    assert torch.autograd.gradcheck(call, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, *parameters), fast_mode=True)


@each_model
def test_gradients_only_of_what_needs_them(name: str) -> None:
    model, _ = build(name)
    for frozen, _ in model.named_parameters():
        for other, parameter in model.named_parameters():
            parameter.grad = None
            parameter.requires_grad_(other != frozen)
        model(image(name)).sum().backward()
        without = {other for other, parameter in model.named_parameters() if parameter.grad is None}
        assert without == {frozen}


def test_gradients_are_accumulated_and_memory_stays(name: str = "basic_block") -> None:
    model, _ = build(name)
    model(image(name)).sum().backward()
    places = [parameter.grad for parameter in model.parameters()]
    values = [place.clone() for place in places]
    for buffer in model.buffers():
        buffer.fill_(0)
    model(image(name)).sum().backward()
    for parameter, place, value in zip(model.parameters(), places, values, strict=True):
        assert parameter.grad is place
        torch.testing.assert_close(place, 2 * value)


def test_checkpoint_computes_it_again() -> None:
    model, _ = build("bottleneck")
    x = image("bottleneck")
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    again = torch.autograd.grad(
        checkpoint(model, x, use_reentrant=False).sum(), list(model.parameters())
    )
    assert_same_sums(again, expected)


def test_what_batch_norm_gives_a_convolution_is_not_kept() -> None:
    def kept(model: nn.Module, x: Tensor) -> int:
        known = {t.untyped_storage().data_ptr() for t in (x, *model.parameters(), *model.buffers())}
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.dim() == 4:
                saved[tensor.untyped_storage().data_ptr()] = tensor.numel()
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(x)
        assert output.requires_grad
        return sum(size for place, size in saved.items() if place not in known)

    ours, native = build("bottleneck")
    x = image("bottleneck")
    # Natively both sides of each batch_norm but the shortcut's: 4 of 4 channels, then 16 twice.
    assert kept(ours, x) <= 0.8 * kept(native, x)


# ------------------------------------------------------------------------- when it must not fuse


@each_model
def test_hooks_see_their_module(name: str) -> None:
    model, native = build(name)
    leaves = [key for key, module in model.named_modules() if not list(module.children())]
    for key in leaves:
        seen: list[Tensor] = []
        handle = model.get_submodule(key).register_forward_hook(
            lambda module, args, output, seen=seen: seen.append(output.clone())
        )
        expected: list[Tensor] = []
        other = native.get_submodule(key).register_forward_hook(
            lambda module, args, output, seen=expected: seen.append(output.clone())
        )
        model(image(name))
        native(image(name))
        assert_same_sums(seen, expected, terms=10)
        assert len(seen) >= 1
        handle.remove()
        other.remove()


@each_model
def test_a_model_that_nobody_holds_is_gone(name: str) -> None:
    model, _ = build(name)
    model(image(name)).sum().backward()
    alive = [weakref.ref(module) for module in model.modules()]
    del model
    assert not any(module() for module in alive)


def test_arguments_by_name() -> None:
    ours, native = build("residual")
    x = image("residual")
    assert_same_sums(ours(x=x), native(x=x), terms=10)
    assert inspect.signature(ours.forward) == inspect.signature(Residual(nn).forward)
    assert list(inspect.signature(ours.forward).parameters) == ["x"]


class WritesToInput(Residual):
    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        y = z = x * 1
        y += self.bn2(self.conv2(self.conv1(y)))
        return torch.relu(y) + z


class ReadsBeforeWrites(Residual):
    def __init__(self, layers: Any) -> None:
        super().__init__(layers)
        self.relu, self.pool = layers.ReLU(inplace=True), layers.MaxPool2d(2)

    @in_rows
    def forward(self, x: Tensor) -> Tensor:
        y = x * 1
        convolved = self.conv1(y)
        y += 1.0
        return torch.cat((self.pool(self.relu(convolved)), self.pool(y)), dim=1)


@pytest.mark.parametrize("kind", (WritesToInput, ReadsBeforeWrites))
def test_what_is_written_in_place_is_written_when_and_where_it_was(kind: Any) -> None:
    native, ours = kind(nn), kind(cnnext.nn)
    ours.load_state_dict(native.state_dict())
    x = image("residual")
    assert_same_sums(ours(x), native(x), terms=10)


def test_an_attribute_that_changes_is_seen() -> None:
    ours, native = build("residual")
    for scale in (2.0, 3.0, 1, 2.0):
        ours.scale = native.scale = scale
        assert_same_sums(ours(image("residual")), native(image("residual")), terms=10)


def test_a_layer_that_is_replaced_is_called() -> None:
    ours, native = build("residual")
    ours(image("residual"))
    for model in (ours, native):
        model.bn1 = nn.Identity()
    assert_same_sums(ours(image("residual")), native(image("residual")), terms=10)
    ours.bn2 = native.bn2 = nn.InstanceNorm2d(6)
    assert_same_sums(ours(image("residual")), native(image("residual")), terms=10)


def test_a_forward_of_the_class_that_is_replaced_is_called(monkeypatch: Any) -> None:
    model, _ = build("residual")
    model(image("residual"))
    monkeypatch.setattr(Residual, "forward", lambda self, x: x + 1)
    assert torch.equal(model(image("residual")), image("residual") + 1)


def test_a_method_of_a_layer_that_is_replaced_is_called(monkeypatch: Any) -> None:
    calls: list[int] = []
    forward = nn.BatchNorm2d.forward

    def watched(self: nn.BatchNorm2d, input: Tensor) -> Tensor:
        calls.append(1)
        return forward(self, input)

    model, _ = build("dense")
    monkeypatch.setattr(nn.BatchNorm2d, "forward", watched)
    monkeypatch.setenv("CNNEXT_STRICT", "0")
    model(image("dense"))
    assert len(calls) == 2


def test_global_hooks_close_rows() -> None:
    model, _ = build("dense")
    handle = nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        assert not layers.rows_are_open()
        assert functions(model(image("dense"))) == {NORM: 2}
    finally:
        handle.remove()


@each_model
def test_a_compiled_step_has_the_rows(name: str) -> None:
    model, native = build(name)
    library = Compiled("aot_eager")
    x = image(name)
    ours = outcome(library.compile(model, "aot_eager"), x)
    assert_same_sums(ours, outcome(native, x), terms=1000)
    (graph,) = library.graphs
    called = [str(node.target) for node in graph.graph.nodes]
    assert not any("relu" in target or target.endswith("iadd>") for target in called), called


def test_a_compiled_pool_comes_before_its_relu() -> None:
    model = cnnext.Sequential(cnnext.Conv2d(6, 4, 3), cnnext.ReLU(), cnnext.MaxPool2d(2))
    library = Compiled("aot_eager")
    x = image("pool")
    assert_same_sums(outcome(library.compile(model, "aot_eager"), x), outcome(model, x), terms=100)
    (graph,) = library.graphs
    called = [str(node.target) for node in graph.graph.nodes]
    (relu,) = (index for index, target in enumerate(called) if "relu" in target)
    assert relu > called.index("cnnext.max_pool2d.default")


def test_a_compiled_pool_whose_windows_are_empty_gives_what_native_does() -> None:
    pool = {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 2}
    ours, native = (
        nn.Sequential(lib.Conv2d(6, 2, 3), lib.ReLU(), lib.MaxPool2d(**pool)).requires_grad_(False)
        for lib in (cnnext.nn, nn)
    )
    native.load_state_dict(ours.state_dict())
    x = torch.randn(1, 6, 3, 3, generator=generator_for("empty windows"))
    ours = cnnext.convert(ours)  # its chain, too
    compiled = Compiled("aot_eager").compile(ours, "aot_eager")
    assert_same_sums(compiled(x), native(x), terms=100)


@pytest.mark.parametrize("watched", ("bn1", "downsample"))
def test_hooks_see_their_module_in_a_compiled_step(watched: str) -> None:
    model, _ = build("bottleneck")
    seen = []
    model.get_submodule(watched).register_forward_hook(
        lambda module, args, output: seen.append(output.detach().amin())
    )
    torch._dynamo.reset()
    torch.compile(model, backend="aot_eager")(image("bottleneck"))
    (least,) = seen
    assert least < 0  # neither rectified nor added to


@each_model
def test_modes_and_tools_compute_the_same(name: str, fallbacks: list[str]) -> None:
    model, native = build(name)
    x = image(name)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype is native(x).dtype
    for each in (model, native):
        each.eval()
    expected = native(x).detach()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    clones = (compiled, torch.fx.symbolic_trace(model), copy.deepcopy(model))
    for other in (*clones, torch.jit.trace(model, x), torch.jit.script(model)):
        assert_same_sums(other(x), expected, terms=10)


def test_threads_may_record_the_same_model() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model, native = build("bottleneck")
    for each in (model, native):
        each.eval()
    expected = native(image("bottleneck")).detach()
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: model(image("bottleneck")).detach(), range(16)):
            assert_same_sums(result, expected, terms=10)


# ----------------------------------------------------------------------------- what is recorded


class Asks(nn.Module):
    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.ask = forward
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return self.ask(self, x)


@pytest.mark.parametrize(
    "forward",
    (
        lambda self, x: x if x.sum() > 0 else -x,
        lambda self, x: x.view(x.size(0), -1),
        lambda self, x: list(x),
        lambda self, x: x if x > 0 else -x,
        lambda self, x: x if x is not None and bool(x) else -x,
        lambda self, x: self.layer.weight @ x,
        lambda self, x: setattr(self, "seen", x),
    ),
    ids=("sums", "reshapes", "iterates", "compares", "asks", "takes_weights", "remembers"),
)
def test_what_depends_on_values_or_remembers_is_not_recorded(forward: Any) -> None:
    module = Asks(forward)
    with pytest.raises(NotRecordable):
        record(type(module).forward, module, 1)

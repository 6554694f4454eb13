"""What looks at calls from outside: counters, profilers, modes of torch, kinds of tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import cnnext
from tests.machinery.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    assert_close,
    each_layer,
    each_operator,
    each_trainable_layer,
    gradients_of,
    loss_of,
    outputs_of,
)
from tests.ops.support import CNNEXT, NATIVE

# ------------------------------------------------------------------------------------- flops


def flops_of(function: Any, *args: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*args)
    return counter.get_total_flops()


@each_layer
def test_flops_of_inference(layer: Layer) -> None:
    with torch.no_grad():
        ours, native = (flops_of(module, *layer.inputs()) for module in layer.pair())
    assert ours == native
    assert (ours > 0) == bool(list(layer.build(nn).parameters()))


@pytest.mark.parametrize("with_input", (True, False), ids=("all_gradients", "of_parameters"))
@each_layer
def test_flops_of_training(layer: Layer, with_input: bool) -> None:
    def step(module: nn.Module) -> None:
        image, *states = layer.inputs()
        loss = loss_of(module(image.requires_grad_(with_input), *states))
        if loss.requires_grad:
            loss.backward()

    ours, native = (flops_of(step, module) for module in layer.pair())
    assert ours == native


@pytest.mark.parametrize(
    "options",
    (
        {"groups": 3, "out_channels": 6},
        {"stride": 2},
        {"dilation": 2},
        {"padding": "same"},
        {"kernel_size": (2, 1)},
    ),
    ids=lambda options: next(iter(options)),
)
def test_flops_of_a_convolution_with_options(options: dict[str, Any]) -> None:
    """Native counts too many with groups; the comparison of two models is what matters."""
    arguments = {"in_channels": 3, "out_channels": 4, "kernel_size": 3, **options}
    images = Network.images().requires_grad_()
    ours, native = (
        flops_of(gradients_of, layers.Conv2d(**arguments), images) for _, layers in LIBRARIES
    )
    assert ours == native


def test_flops_of_a_linear_of_many_axes() -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    ours, native = (flops_of(gradients_of, layers.Linear(5, 7), x) for _, layers in LIBRARIES)
    assert ours == native


def test_flops_by_module() -> None:
    tables = []
    for _, layers in LIBRARIES:
        with FlopCounterMode(display=False) as counter:
            gradients_of(Network(layers), Network.images())
        tables.append(
            {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
        )
    assert tables[0] == tables[1]


def test_flops_without_computing() -> None:
    with FakeTensorMode():
        ours, native = (
            flops_of(gradients_of, Network(layers), torch.empty(2, 3, 6, 5))
            for _, layers in LIBRARIES
        )
    assert ours == native > 0


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks")
@pytest.mark.parametrize("backend", ("eager", "aot_eager"))
def test_flops_of_compiled_code(backend: str) -> None:
    """The operators that torch.compile sees, and what they are made of."""
    torch._dynamo.reset()
    model = Network(cnnext.nn)
    images = Network.images()
    run = torch.compile(model, backend=backend)
    run(images)
    assert flops_of(run, images) == flops_of(model, images)


# ------------------------------------------------------------------------------------- modes


class Dispatched(TorchDispatchMode):
    """Remembers the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func._schema.name))
        return func(*args, **(kwargs or {}))


class Asked(TorchFunctionMode):
    """Remembers the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.functions.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("graph", (True, False), ids=("graph", "no_graph"))
@each_operator
def test_a_dispatch_mode_sees_our_operators(op: Operator, graph: bool) -> None:
    operands = op.leaves() if graph else op.operands()
    with Dispatched() as mode:
        outputs = op.call(CNNEXT, *operands)
    assert mode.names.count(f"cnnext::{op.name}_forward") == 1
    assert_close(outputs, op.call(NATIVE, *operands))
    if graph:
        with Dispatched() as mode:
            torch.autograd.grad(loss_of(outputs), operands)
        assert any(name.startswith("cnnext::") for name in mode.names)


@each_operator
def test_a_function_mode_changes_no_result(op: Operator) -> None:
    with Asked() as mode:
        outputs = op.call(CNNEXT, *op.operands())
    assert_close(outputs, op.call(NATIVE, *op.operands()))
    assert getattr(torch.ops.cnnext, f"{op.name}_forward").default in mode.functions


@each_operator
def test_a_device_context_is_not_in_the_way(op: Operator) -> None:
    operands = op.operands()
    with torch.device("cpu"):
        ours = op.call(CNNEXT, *operands)
    assert_close(ours, op.call(NATIVE, *operands))


@pytest.mark.parametrize("direction", ("forward", "backward"))
@each_operator
def test_the_profiler_names_our_operators(op: Operator, direction: str) -> None:
    leaves = op.leaves()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        torch.autograd.grad(loss_of(op.call(CNNEXT, *leaves)), leaves)
    names = [event.key for event in profile.key_averages()]
    if direction == "forward":
        assert f"cnnext::{op.name}_forward" in names
        (event,) = (e for e in profile.events() if e.name == f"cnnext::{op.name}_forward")
        assert event.input_shapes[0] == list(leaves[0].shape)
    else:
        assert any(name.startswith(f"cnnext::{op.name}_backward") for name in names)
        assert any("FunctionBackward" in name for name in names)


# ---------------------------------------------------------------------------- other tensors


class Tagged(Tensor):
    """A subclass by __torch_function__, as those that carry metadata."""


class Wrapped(Tensor):
    """A subclass by __torch_dispatch__: no memory of its own, as those of distributed tensors."""

    content: Tensor

    @staticmethod
    def __new__(cls, content: Tensor) -> Wrapped:
        wrapped = Tensor._make_wrapper_subclass(
            cls, content.shape, strides=content.stride(), dtype=content.dtype, device=content.device
        )
        wrapped.content = content
        return wrapped

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tree_map = torch.utils._pytree.tree_map_only
        args, kwargs = tree_map(cls, lambda t: t.content, (args, kwargs or {}))
        return tree_map(Tensor, cls, func(*args, **kwargs))


def content_of(t: Tensor) -> Tensor:
    return t.content if isinstance(t, Wrapped) else t.as_subclass(Tensor)


@pytest.mark.parametrize("kind", (Tagged, Wrapped))
@each_operator
def test_subclasses(op: Operator, kind: Any, fallbacks: list[str]) -> None:
    """Of any operand, through the backward pass."""
    seen: set[type] = set()
    for place in range(len(op.shapes)):
        results = []
        for library in (CNNEXT, NATIVE):
            operands = list(op.operands())
            value = operands[place]
            operands[place] = value.as_subclass(Tagged) if kind is Tagged else Wrapped(value)
            operands[place].requires_grad_()
            outputs = op.call(library, *operands)
            (gradient,) = torch.autograd.grad(loss_of(outputs), operands[place])
            results.append((*outputs, gradient))
        kinds, of_native = ([type(t) for t in result] for result in results)
        assert kinds == of_native
        seen.update(kinds)
        assert_close(*(list(map(content_of, result)) for result in results))
    assert kind in seen
    assert len(fallbacks) == 1 and kind.__name__ in fallbacks[0]


class OwnParameter(nn.Parameter):
    """As libraries have them that note something down with each parameter."""


class AskedParameter(nn.Parameter):
    """One that wants to be asked: the call is native's, with it as the operand."""

    asked: list[Any] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.asked.append(func)
        return super().__torch_function__(func, types, args, kwargs or {})


@each_trainable_layer
def test_a_subclass_of_parameter(layer: Layer) -> None:
    """It leaves every call to torch: our kernels compute."""
    gradients = []
    for module in layer.pair():
        for name, parameter in list(module.named_parameters()):
            setattr(module, name, OwnParameter(parameter.detach()))
        gradients.append(gradients_of(module, *layer.inputs()))
    assert_close(*gradients)


@each_trainable_layer
def test_a_parameter_that_wants_to_be_asked(layer: Layer, fallbacks: list[str]) -> None:
    gradients = []
    for module in layer.pair():
        for name, parameter in list(module.named_parameters()):
            setattr(module, name, AskedParameter(parameter.detach()))
        AskedParameter.asked.clear()
        outputs = outputs_of(module(*layer.inputs()))
        gradients.append((AskedParameter.asked[-1], [t.detach() for t in outputs]))
    assert gradients[0][0] is gradients[1][0]
    assert_close(gradients[0][1], gradients[1][1])
    assert len(fallbacks) == 1 and "AskedParameter" in fallbacks[0]


# --------------------------------------------------------------------------- lazy and without


@pytest.mark.parametrize("name", ("LazyConv2d", "LazyLinear"))
def test_lazy_modules_materialize_and_are_then_converted(name: str) -> None:
    arguments = {"LazyConv2d": (4, 3), "LazyLinear": (4,)}[name]
    images = Network.images()
    lazy = getattr(cnnext.nn, name)(*arguments)
    untouched = cnnext.convert(lazy)
    assert type(untouched) is getattr(nn, name)
    expected = untouched(images)
    converted = cnnext.convert(untouched)
    assert type(converted) is getattr(cnnext, name.removeprefix("Lazy"))
    assert_close(converted(images), expected)


@pytest.mark.usefixtures("fallbacks")
@each_trainable_layer
def test_an_uninitialized_parameter_is_refused_as_by_native(layer: Layer) -> None:
    errors = []
    for module in layer.pair():
        name, _ = next(iter(module.named_parameters()))
        setattr(module, name, nn.UninitializedParameter())
        with pytest.raises(Exception) as error:  # noqa: PT011
            module(*layer.inputs())
        errors.append(error.type)
    assert errors[0] is errors[1]


@each_layer
def test_fake_tensors_have_the_strides_of_real_ones(layer: Layer) -> None:
    """The same sizes and strides with and without values."""
    with FakeTensorMode():
        module = layer.build(cnnext.nn)
        inputs = layer.inputs()
        fake = [(t.shape, t.stride(), t.dtype) for t in outputs_of(module(*inputs))]
    real = outputs_of(layer.build(cnnext.nn)(*layer.inputs()))
    assert fake == [(t.shape, t.stride(), t.dtype) for t in real]

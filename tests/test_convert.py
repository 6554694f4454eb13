"""``convert``, ``restore`` and ``report``."""

import copy
import functools
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.weight_norm import weight_norm

import cnnext
from cnnext.convert import ConversionReport, convert, report, restore
from cnnext.testing.errors import assert_contract

SEED = 20240229

CNNEXT_FOR_NATIVE = {cls.__bases__[0]: cls for cls in cnnext.nn.MODULES}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(SEED)


# ---- Architectures -------------------------------------------------------------------------


def sequential() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 5),
    )


def residual() -> nn.Module:
    downsample = nn.Sequential(nn.Conv2d(3, 16, 1, stride=2), nn.BatchNorm2d(16))
    return cnnext.models.Bottleneck(3, 4, 2, downsample, layers=nn)


class SharedNet(nn.Module):
    """Applies one convolution twice, holds it under two names, and ties two linear weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(3, 6, 1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.same_conv = self.conv
        self.relu = nn.ReLU()
        self.encode = nn.Linear(16, 16, bias=False)
        self.decode = nn.Linear(16, 16, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.same_conv(self.relu(self.conv(self.lift(x))))
        return self.decode(self.encode(x))


class Recurrent(nn.Module):
    """Runs an LSTM cell over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3 * 16, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for row in x.flatten(1, -2).reshape(len(x), 3, 16, 16).permute(2, 0, 1, 3).flatten(2):
            state = self.cell(row, state)
        return self.head(state[0])


def hf_resnet() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=5
    )
    return transformers.ResNetForImageClassification(config)


ARCHITECTURES = {
    "sequential": sequential,
    "residual": residual,
    "shared": SharedNet,
    "recurrent": Recurrent,
    "hf_resnet": hf_resnet,
}


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return ARCHITECTURES[request.param]()


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def run(model: nn.Module, x: Tensor) -> Tensor:
    output = model(x)
    return output if isinstance(output, Tensor) else output.logits


def types(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]


# ---- Round trips ---------------------------------------------------------------------------


def test_each_cnnext_module_is_a_direct_subclass_of_its_namesake() -> None:
    for native, ours in CNNEXT_FOR_NATIVE.items():
        assert ours.__bases__ == (native,)
        assert native is getattr(nn, ours.__name__)


def test_convert_swaps_every_supported_layer(model: nn.Module) -> None:
    expected = [CNNEXT_FOR_NATIVE.get(cls, cls) for cls in types(model)]
    assert types(convert(model)) == expected
    assert set(expected) & set(CNNEXT_FOR_NATIVE.values())


def test_restore_is_the_inverse_of_convert(model: nn.Module) -> None:
    before = types(model)
    assert types(restore(convert(model))) == before
    assert types(restore(convert(model, inplace=True), inplace=True)) == before


def test_convert_and_restore_twice_change_nothing_more(model: nn.Module) -> None:
    converted = convert(model)
    assert types(convert(converted)) == types(converted)
    assert types(restore(restore(converted))) == types(model)


def test_outputs_and_gradients_equal_native(model: nn.Module) -> None:
    x = images()
    converted = convert(model.eval())
    reference_model = copy.deepcopy(model).double()

    def output_and_gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
        output = run(net, x)
        return [output, *torch.autograd.grad(output.square().mean(), list(net.parameters()))]

    ours = output_and_gradients(converted, x)
    native = output_and_gradients(model, x)
    reference = output_and_gradients(reference_model, x.double())
    names = ["output", *(f"gradient of {name}" for name, _ in model.named_parameters())]
    for what, *values in zip(names, ours, native, reference, strict=True):
        assert_contract(*values, what=what)
    assert torch.equal(run(restore(converted), x), native[0])


@pytest.mark.parametrize("native", CNNEXT_FOR_NATIVE, ids=lambda cls: cls.__name__)
def test_the_model_itself_may_be_a_layer(native: type[nn.Module]) -> None:
    arguments = {"Conv2d": (3, 4, 3), "MaxPool2d": (2,), "Linear": (3, 4), "LSTMCell": (3, 4)}
    layer = native(*arguments.get(native.__name__, ()))
    assert type(convert(layer)) is CNNEXT_FOR_NATIVE[native]
    assert type(layer) is native
    assert convert(layer, inplace=True) is layer
    assert type(layer) is CNNEXT_FOR_NATIVE[native]
    assert type(restore(layer)) is native


# ---- What survives -------------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
def test_state_dict_is_the_same_storage_in_the_same_order(model: nn.Module, inplace: bool) -> None:
    before = {key: value.data_ptr() for key, value in model.state_dict().items()}
    after = convert(model, inplace=inplace).state_dict()
    assert [(key, value.data_ptr()) for key, value in after.items()] == list(before.items())


def test_parameters_and_buffers_are_the_same_objects(model: nn.Module) -> None:
    converted = convert(model)
    for ours, native in (
        (converted.named_parameters(), model.named_parameters()),
        (converted.named_buffers(), model.named_buffers()),
    ):
        assert [(name, id(x)) for name, x in ours] == [(name, id(x)) for name, x in native]


def test_tied_weights_and_shared_modules_stay_so() -> None:
    converted = convert(SharedNet())
    assert converted.conv is converted.same_conv
    assert converted.encode.weight is converted.decode.weight


def test_training_flag_and_requires_grad_survive(model: nn.Module) -> None:
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    children = list(model.children())
    children[-1].eval()
    converted = convert(model)
    flags = [module.training for module in model.modules()]
    assert [module.training for module in converted.modules()] == flags
    assert {True, False} == set(flags)
    assert [p.requires_grad for p in converted.parameters()] == [
        p.requires_grad for p in parameters
    ]


@pytest.mark.parametrize(
    ("device", "dtype"), [("meta", torch.float32), ("cpu", torch.float64), ("cpu", torch.bfloat16)]
)
def test_device_dtype_and_memory_format_survive(device: str, dtype: torch.dtype) -> None:
    model = sequential().to(device=device, dtype=dtype, memory_format=torch.channels_last)
    converted = convert(model)
    for ours, native in zip(converted.parameters(), model.parameters(), strict=True):
        assert (ours.device, ours.dtype, ours.stride()) == (
            native.device,
            native.dtype,
            native.stride(),
        )


def test_repr_is_that_of_the_native_model(model: nn.Module) -> None:
    assert repr(convert(model)) == repr(model)


def test_an_optimizer_built_before_trains_the_converted_model() -> None:
    model = sequential()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    converted = convert(model)
    before = copy.deepcopy(model.state_dict())
    converted(images()).square().mean().backward()
    optimizer.step()
    for name, parameter in converted.named_parameters():
        assert not torch.equal(parameter, before[name]), name
        assert parameter is model.get_parameter(name)


@pytest.mark.parametrize("through", ["deepcopy", "pickle"])
def test_a_converted_model_copies_and_pickles(model: nn.Module, through: str) -> None:
    converted = convert(model.eval())
    if through == "deepcopy":
        other = copy.deepcopy(converted)
    else:
        buffer = io.BytesIO()
        torch.save(converted, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    assert types(other) == types(converted)
    x = images()
    assert torch.equal(run(other, x), run(converted, x))
    assert not {p.data_ptr() for p in other.parameters()} & {
        p.data_ptr() for p in converted.parameters()
    }


# ---- Hooks ---------------------------------------------------------------------------------


class Recorder:
    """A hook object: callable itself, and with a method to register."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: Any) -> None:
        self.calls += 1

    def method(self, *args: Any) -> None:
        self.calls += 1


def count(recorder: Recorder, *args: Any) -> None:
    recorder.calls += 1


AS_HOOK: dict[str, Callable[[Recorder], Callable[..., None]]] = {
    "closure": lambda recorder: lambda *args: recorder(),
    "callable object": lambda recorder: recorder,
    "bound method": lambda recorder: recorder.method,
    "partial": lambda recorder: functools.partial(count, recorder),
}


@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("kind", AS_HOOK)
@pytest.mark.parametrize(
    "register",
    [
        "register_forward_pre_hook",
        "register_forward_hook",
        "register_full_backward_pre_hook",
        "register_full_backward_hook",
    ],
)
def test_hooks_fire_on_the_users_own_objects(register: str, kind: str, inplace: bool) -> None:
    model, recorder = sequential(), Recorder()
    getattr(model[3], register)(AS_HOOK[kind](recorder))
    convert(model, inplace=inplace)(images()).sum().backward()
    assert recorder.calls == 1


def test_a_hook_handle_removes_from_the_original_only() -> None:
    model, recorder = sequential(), Recorder()
    handle = model[0].register_forward_hook(recorder)
    converted = convert(model)
    handle.remove()
    model(images())
    assert recorder.calls == 0
    converted(images())
    assert recorder.calls == 1


def test_a_hook_bound_to_a_module_of_the_model_follows_the_copy() -> None:
    class Watcher(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.calls = 0
            self.conv.register_forward_hook(self.on_call)

        def on_call(self, *args: Any) -> None:
            self.calls += 1

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    model = Watcher()
    converted = convert(model)
    converted(images())
    assert (converted.calls, model.calls) == (1, 0)


def test_state_dict_hooks_survive() -> None:
    model = sequential()
    model.register_state_dict_post_hook(lambda module, state, *args: state.update(extra=1))
    assert convert(model).state_dict()["extra"] == 1


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "reparametrize",
    [weight_norm, functools.partial(prune.l1_unstructured, name="weight", amount=0.5)],
    ids=["weight_norm", "pruning"],
)
def test_a_layer_whose_weight_a_hook_computes_is_swapped(
    reparametrize: Callable[[nn.Module], nn.Module],
) -> None:
    model = nn.Sequential(reparametrize(nn.Conv2d(3, 4, 3)), reparametrize(nn.Linear(14, 2)))
    x = images()
    expected = model(x)
    converted = convert(model)
    assert types(converted) == [nn.Sequential, cnnext.nn.Conv2d, cnnext.nn.Linear]
    torch.testing.assert_close(converted(x), expected)


# ---- The copy ------------------------------------------------------------------------------


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


def test_a_traced_graph_is_converted() -> None:
    graph = torch.fx.symbolic_trace(sequential().eval())
    converted = convert(graph)
    x = images()
    torch.testing.assert_close(converted(x), graph(x))
    assert type(converted.get_submodule("0")) is cnnext.nn.Conv2d
    assert type(graph.get_submodule("0")) is nn.Conv2d


def test_a_compiled_model_is_converted() -> None:
    compiled = torch.compile(sequential().eval(), backend="eager")
    x = images()
    expected = compiled(x)
    converted = convert(compiled)
    torch.testing.assert_close(converted(x), expected)
    assert type(converted._orig_mod[0]) is cnnext.nn.Conv2d
    assert type(compiled._orig_mod[0]) is nn.Conv2d


# ---- What is left alone --------------------------------------------------------------------


class MyConv(nn.Conv2d):
    """A user's own layer."""


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


def parametrized() -> nn.Module:
    return parametrize.register_parametrization(nn.Linear(4, 4), "weight", Symmetric())


def own_forward() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.forward = functools.partial(layer.forward)
    return layer


KEPT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "subclass": (lambda: MyConv(3, 4, 3), "subclass of torch.nn.Conv2d"),
    "subclass of cnnext": (
        lambda: type("Ours", (cnnext.nn.Linear,), {})(3, 4),
        "subclass of cnnext.nn.Linear",
    ),
    "parametrized": (parametrized, "parametrized: weight"),
    "lazy": (lambda: nn.LazyConv2d(4, 3), "lazy"),
    "own forward": (own_forward, "forward is replaced on the instance"),
    "scripted": (
        lambda: torch.jit.script(nn.ReLU()),
        "a torch.nn.ReLU compiled by TorchScript",
    ),
    "quantized": (
        lambda: torch.ao.nn.quantized.Conv2d(3, 4, 3),
        "has the name of torch.nn.Conv2d but is no subclass of it",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("kind", KEPT)
def test_left_alone_and_reported(kind: str, inplace: bool) -> None:
    make, reason = KEPT[kind]
    model = nn.Sequential(make())
    before = types(model)
    for swap in (convert, restore):
        assert types(swap(model, inplace=inplace)) == before
    (layer,) = report(model).layers
    assert (layer.name, layer.status) == ("0", "kept")
    assert layer.reason.startswith(reason)


def test_a_parametrized_layer_in_a_converted_model_still_computes() -> None:
    model = nn.Sequential(parametrized(), nn.ReLU())
    x = torch.randn(3, 4)
    assert torch.equal(convert(model)(x), model(x))


# ---- Report --------------------------------------------------------------------------------


class FunctionalNet(nn.Module):
    """Calls every kind of functional that cannot be swapped, and some that only look like one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.act = F.relu

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = torch.relu(x)
        x = self.conv(x).relu()
        x = x.relu_()
        x = self.act(x)
        x = nn.functional.max_pool2d(x, 2)
        x = torch.conv2d(x, self.conv.weight)
        x = self.relu(x)
        x = F.gelu(x)
        x = cnnext.functional.relu(x)
        return self.tail(x)

    def tail(self, x: Tensor) -> Tensor:
        relu = self.relu
        return F.linear(relu(x), torch.eye(x.shape[-1]))

    def not_called(self, x: Tensor) -> Tensor:
        return F.relu(x)


def test_report_lists_layers_before_and_after() -> None:
    model = sequential()
    model.add_module("mine", MyConv(3, 4, 3))
    names = ["0", "1", "2", "3", "5", "7", "mine"]
    before, after = report(model), report(convert(model))
    assert [layer.name for layer in before.layers] == names
    assert [layer.name for layer in after.layers] == names
    assert [layer.status for layer in before.layers] == ["native"] * 6 + ["kept"]
    assert [layer.status for layer in after.layers] == ["cnnext"] * 6 + ["kept"]
    assert before.layers[0].type == "torch.nn.Conv2d"
    assert before.layers[0].reason == "convert makes it a cnnext.nn.Conv2d"
    assert after.layers[0].type == "cnnext.nn.Conv2d"
    assert after.unsupported == {"torch.nn.BatchNorm2d": 1, "torch.nn.Flatten": 1}


def test_report_depends_on_the_model_alone(model: nn.Module) -> None:
    before, state = types(model), {m: dict(vars(m)) for m in model.modules()}
    first = report(model)
    assert report(model) == first
    assert types(model) == before
    assert {m: dict(vars(m)) for m in model.modules()} == state
    assert report(restore(convert(model))) == first


def test_report_names_a_shared_module_once() -> None:
    layers = {layer.name: layer for layer in report(SharedNet()).layers}
    assert layers["conv"].aliases == ("same_conv",)
    assert "same_conv" not in layers


def test_report_names_functional_calls() -> None:
    found = report(FunctionalNet()).functional_calls
    assert [(x.call.text, x.call.function) for x in found] == [
        ("F.relu", "relu"),
        ("torch.relu", "relu"),
        ("self.conv(x).relu", "relu"),
        ("x.relu_", "relu_"),
        ("self.act", "relu"),
        ("nn.functional.max_pool2d", "max_pool2d"),
        ("torch.conv2d", "conv2d"),
        ("F.linear", "linear"),
    ]
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for x in found:
        assert x.modules == ("",)
        assert x.call.file == __file__
        assert f"{x.call.text}(" in lines[x.call.line - 1]


def test_report_gathers_the_modules_that_make_a_call() -> None:
    model = nn.ModuleDict({"a": FunctionalNet(), "b": FunctionalNet()})
    assert {x.modules for x in report(model).functional_calls} == {("a", "b")}


def test_report_reads_the_overridden_forward_of_a_subclass() -> None:
    class ConvRelu(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return torch.relu(super().forward(input))

    found = report(ConvRelu(3, 4, 3))
    assert [layer.status for layer in found.layers] == ["kept"]
    assert [x.call.text for x in found.functional_calls] == ["torch.relu"]


def test_report_reads_decorated_and_closed_over_functions() -> None:
    activation = F.relu

    class Net(nn.Module):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            """Ends at the first column,
            even so."""
            return activation(x)

    (found,) = report(Net()).functional_calls
    assert (found.call.text, found.call.function) == ("activation", "relu")


def test_report_finds_nothing_in_torch_and_cnnext_themselves() -> None:
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), cnnext.nn.ReLU())
    found = report(model)
    assert found.functional_calls == ()
    assert found.unread == ()
    assert report(cnnext.models.resnet18(num_classes=2)).functional_calls == ()


def test_report_says_where_the_source_is_not_available() -> None:
    namespace: dict[str, Any] = {"nn": nn, "__name__": "typed_in"}
    exec("class Typed(nn.Module):\n    def forward(self, x):\n        return x.relu()", namespace)
    found = report(nn.Sequential(namespace["Typed"](), namespace["Typed"]()))
    assert found.unread == ("typed_in.Typed",)
    assert "typed_in.Typed" in str(found)


def test_report_prints_a_table() -> None:
    model = nn.Sequential(FunctionalNet(), MyConv(4, 4, 1), nn.BatchNorm2d(4))
    text = str(report(convert(model)))
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert rows["0.conv"].split()[1:3] == ["cnnext.nn.Conv2d", "cnnext"]
    assert rows["1"].endswith("kept    subclass of torch.nn.Conv2d")
    assert rows["torch.relu"].endswith("  0")
    assert "No cnnext counterpart: torch.nn.BatchNorm2d (1)" in text
    assert text.splitlines()[-1] == "2 cnnext, 0 native, 1 kept, functional calls: 8"


def test_report_of_a_model_without_layers() -> None:
    assert report(nn.Identity()) == ConversionReport(
        layers=(), functional_calls=(), unread=(), unsupported={"torch.nn.Identity": 1}
    )


# ---- Errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [convert, restore, report], ids=lambda f: f.__name__)
@pytest.mark.parametrize("value", ["resnet50", None, nn.Conv2d], ids=["str", "None", "class"])
def test_what_is_not_a_module_raises(function: Callable[[Any], Any], value: object) -> None:
    with pytest.raises(TypeError, match="argument 'model' must be a torch.nn.Module") as error:
        function(value)
    assert str(error.value).startswith(f"{function.__name__}()")
    assert repr(value) in str(error.value)


def test_inplace_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        convert(sequential(), True)  # type: ignore[misc]

"""What `convert` leaves alone, and what `report` says."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

import cnnext
from cnnext.conversion.swap import ConversionReport, convert, report, restore
from tests.convert.architectures import SharedNet, sequential, types

# ---- What is left alone ------------------------------------------------------------------


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
        "has the name of torch.nn.Conv2d but is not a subclass of it",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("inplace", [False, True], ids=["copy", "inplace"])
@pytest.mark.parametrize("kind", KEPT)
def test_left_alone_and_reported(kind: str, inplace: bool) -> None:
    make, reason = KEPT[kind]
    model = nn.ModuleList([make()])
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


# ---- Report ------------------------------------------------------------------------------


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
    names = ["", "0", "1", "2", "3", "4", "5", "7", "mine"]
    before, after = report(model), report(convert(model))
    assert [layer.name for layer in before.layers] == names
    assert [layer.name for layer in after.layers] == names
    assert [layer.status for layer in before.layers] == ["native"] * 8 + ["kept"]
    assert [layer.status for layer in after.layers] == ["cnnext"] * 8 + ["kept"]
    assert before.layers[1].type == "torch.nn.Conv2d"
    assert before.layers[1].reason == "convert makes it a cnnext.nn.Conv2d"
    assert after.layers[1].type == "cnnext.nn.Conv2d"
    assert after.unsupported == {"torch.nn.Flatten": 1}


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


@pytest.mark.parametrize(("assigned", "calls"), [(True, 2), (False, 1)])
def test_report_reads_functions_whose_helpers_are_not_there_yet(assigned: bool, calls: int) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return helper(torch.relu(x))

    if assigned:
        helper = F.relu
    assert len(report(Net()).functional_calls) == calls


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
    model = nn.Sequential(FunctionalNet(), MyConv(4, 4, 1), nn.GroupNorm(2, 4))
    text = str(report(convert(model)))
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert rows["0.conv"].split()[1:3] == ["cnnext.nn.Conv2d", "cnnext"]
    assert rows["1"].endswith("kept    subclass of torch.nn.Conv2d")
    assert rows["torch.relu"].endswith("  0")
    assert "Native PyTorch computes: torch.nn.GroupNorm (1)" in text
    assert text.splitlines()[-1] == "3 cnnext, 0 native, 1 kept, functional calls: 8"


def test_report_of_a_model_without_layers() -> None:
    assert report(nn.Identity()) == ConversionReport(
        layers=(), functional_calls=(), unread=(), unsupported={"torch.nn.Identity": 1}
    )


# ---- Errors ------------------------------------------------------------------------------


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


def test_the_module_that_is_now_a_package_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"cnnext\.ConversionReport.*0\.3"):
        from cnnext.convert import ConversionReport as moved
    assert moved is cnnext.ConversionReport
    assert cnnext.convert is convert
    with pytest.raises(ImportError):
        from cnnext.convert import nothing  # noqa: F401

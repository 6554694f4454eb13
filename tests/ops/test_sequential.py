"""Sequential: runs of Conv2d, ReLU and MaxPool2d train as one function, and nobody can tell."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.checkpoint import checkpoint

import cnnext
from cnnext.testing.errors import INPUT_KINDS, make_input
from tests.ops.support import LAYOUTS, assert_same_sums, generator_for

FUSED = "Conv2dReLUMaxPool2dFunctionBackward"


@dataclass(frozen=True)
class Run:
    """A convolution of 3 channels to 5 and a pool, by their arguments."""

    id: str
    conv: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    inplace: bool = True

    def build(self, layers: Any = cnnext, dtype: torch.dtype = torch.float32) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return layers.Sequential(
                layers.Conv2d(3, 5, **{"kernel_size": 3, "padding": 1, **self.conv}),
                layers.ReLU(inplace=self.inplace),
                layers.MaxPool2d(**{"kernel_size": 2, **self.pool}),
            ).to(dtype)

    def image(self, kind: str = "normal", dtype: torch.dtype = torch.float32) -> Tensor:
        return make_input(kind, (2, 3, 9, 11), generator_for(self.id), dtype)


RUNS = (
    Run("vgg"),
    Run("relu_out_of_place", inplace=False),
    Run("without_bias", {"bias": False}),
    Run("strided", {"stride": 2, "kernel_size": 5}),
    Run("dilated", {"dilation": (2, 1)}),
    Run("overlapping_windows", pool={"kernel_size": 3, "stride": 1, "padding": 1}),
    Run("resnet_pool", pool={"kernel_size": 3, "stride": 2, "padding": 1}),
    Run("ceil_mode", pool={"stride": 3, "ceil_mode": True}),
    Run("largest_window", pool={"kernel_size": (9, 11)}),
)
each_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)


def fuses(output: Tensor) -> bool:
    assert output.grad_fn is not None
    return output.grad_fn.name() == FUSED


def apart(run: nn.Module) -> nn.Module:
    """The same modules, each called on its own."""
    return nn.Sequential(*run)


def outcome(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of input and parameters for an output's gradient of noise."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    output = model(x)
    noise = torch.randn(output.shape, generator=generator_for("noise"), dtype=x.dtype)
    return [output, *torch.autograd.grad(output, [x, *model.parameters()], noise)]


def assert_equal(ours: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=0, equal_nan=True)


# ------------------------------------------------------------------------------------ results


@each_run
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_as_one_or_apart_every_result_is_the_same(run: Run, kind: str, layout: str) -> None:
    model = run.build()
    x = run.image(kind).to(memory_format=LAYOUTS[layout])
    ours = outcome(model, x)
    assert fuses(ours[0])
    assert_equal(ours, outcome(apart(model), x))


@pytest.mark.parametrize("value", (float("nan"), float("inf"), -float("inf"), 0.0))
def test_special_values_pass_as_they_do_apart(value: float) -> None:
    model = RUNS[0].build()
    with torch.no_grad():
        model[0].bias.zero_()
    x = RUNS[0].image()
    x[0, 1, 3:6, 4:8] = value
    x[1] = 0  # nothing is positive
    assert_equal(outcome(model, x), outcome(apart(model), x))


@each_run
def test_first_and_second_derivatives(run: Run) -> None:
    model = run.build(dtype=torch.float64)
    x = run.image(dtype=torch.float64)[:1].requires_grad_()
    parameters = tuple(model.parameters())
    assert fuses(model(x))

    def call(x: Tensor, *values: Tensor) -> Tensor:
        names = (name for name, _ in model.named_parameters())
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, *parameters), fast_mode=True)


@pytest.mark.parametrize("frozen", ("input", "0.weight", "0.bias"))
def test_gradients_only_of_what_needs_them(frozen: str) -> None:
    model = RUNS[0].build()
    x = RUNS[0].image().requires_grad_(frozen != "input")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name != frozen)
    output = model(x)
    assert fuses(output)
    output.sum().backward()
    found = {"input": x.grad, **{name: p.grad for name, p in model.named_parameters()}}
    assert {name for name, grad in found.items() if grad is None} == {frozen}


def test_checkpoint_computes_it_again() -> None:
    model, x = RUNS[0].build(), RUNS[0].image()
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    again = checkpoint(model, x, use_reentrant=False)
    assert_equal(list(torch.autograd.grad(again.sum(), list(model.parameters()))), list(expected))


# ------------------------------------------------------------------------------------- memory


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """The bytes kept for the backward pass, each storage once, without parameters and the input."""
    known = {t.untyped_storage().data_ptr() for t in (x, *model.parameters())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x)  # alive, or else memories could share an address
    kept = sum(t.untyped_storage().nbytes() for at, t in saved.items() if at not in known)
    assert output.requires_grad
    return kept


def test_a_run_keeps_one_byte_of_each_pooled_element() -> None:
    model, x = RUNS[0].build(), RUNS[0].image()
    assert saved_bytes(model, x) == model(x).numel()


def test_vgg16_keeps_at_most_55_percent_of_native() -> None:
    torch.manual_seed(0)
    native = cnnext.models.vgg16(layers=nn).features
    x = torch.randn(1, 3, 64, 64)
    assert saved_bytes(cnnext.convert(native), x) <= 0.55 * saved_bytes(native, x)


# ------------------------------------------------------------------------- when it must not fuse


def test_hooks_of_a_member_see_their_module() -> None:
    for register in (
        nn.Module.register_forward_hook,
        nn.Module.register_forward_pre_hook,
        nn.Module.register_full_backward_hook,
        nn.Module.register_full_backward_pre_hook,
    ):
        for index in range(3):
            model, calls = RUNS[1].build(), []  # autograd forbids relu_ behind such a hook
            handle = register(model[index], lambda *args, calls=calls: calls.append(1))
            output = model(RUNS[0].image().requires_grad_())
            output.sum().backward()
            assert calls, (register, index)
            assert not fuses(output)
            handle.remove()
            assert fuses(model(RUNS[0].image()))


def test_global_hooks_see_all_modules() -> None:
    model, seen = RUNS[0].build(), []
    handle = register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        model(RUNS[0].image())
    finally:
        handle.remove()
    assert seen == [cnnext.Conv2d, cnnext.ReLU, cnnext.MaxPool2d, cnnext.Sequential]


def test_replaced_forward_is_called() -> None:
    model = RUNS[0].build()
    model[1].forward = torch.neg
    assert_equal(outcome(model, RUNS[0].image()), outcome(apart(model), RUNS[0].image()))


class MyReLU(cnnext.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return input - 1


UNFUSED = {
    "subclass": lambda: cnnext.Sequential(cnnext.Conv2d(3, 5, 3), MyReLU(), cnnext.MaxPool2d(2)),
    "native_relu": lambda: cnnext.Sequential(
        cnnext.Conv2d(3, 5, 3), nn.ReLU(), cnnext.MaxPool2d(2)
    ),
    "same": lambda: Run("", {"padding": "same"}).build(),
    "reflect": lambda: Run("", {"padding_mode": "reflect"}).build(),
    "dilated_pool": lambda: Run("", pool={"dilation": 2}).build(),
    "wide_window": lambda: Run("", pool={"kernel_size": 16, "padding": 8}).build(),
    "parametrized": lambda: _parametrized(RUNS[0].build()),
}


def _parametrized(model: nn.Module) -> nn.Module:
    nn.utils.parametrizations.weight_norm(model[0])
    return model


@pytest.mark.parametrize("name", UNFUSED)
def test_other_runs_are_called_one_by_one(name: str) -> None:
    model = UNFUSED[name]()
    ours = outcome(model, RUNS[0].image())
    assert not fuses(ours[0])
    assert_equal(ours, outcome(apart(model), RUNS[0].image()))


def test_indices_are_returned() -> None:
    model = Run("", pool={"return_indices": True}).build()
    output, indices = model(RUNS[0].image())
    expected, positions = apart(model)(RUNS[0].image())
    assert_equal([output, indices], [expected, positions])


def test_without_gradients_nothing_is_kept() -> None:
    model = RUNS[0].build()
    with torch.no_grad():
        output = model(RUNS[0].image())
    assert output.grad_fn is None
    assert_equal([output], [model(RUNS[0].image()).detach()])


def test_autocast_and_transforms_go_to_native(fallbacks: list[str]) -> None:
    model, x = RUNS[0].build(), RUNS[0].image()
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype is torch.bfloat16
    parameters = dict(model.named_parameters())
    gradients = torch.func.grad(lambda p: torch.func.functional_call(model, p, x).sum())(parameters)
    for op in ("conv2d", "relu", "max_pool2d"):
        assert f"cnnext.{op} uses native PyTorch: a torch.func transform is active" in fallbacks
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    assert_same_sums(list(gradients.values()), list(expected))


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("run", "shape"),
    (
        (RUNS[0], (2, 4, 9, 11)),  # channels
        (RUNS[0], (2, 3, 9)),
        (RUNS[0], (2, 3, 1, 1)),  # nothing is left to pool
        (RUNS[0], (1, 2, 3, 9, 11)),
        (Run("", pool={"padding": 2}), (2, 3, 9, 11)),
        (Run("", {"padding": 0, "kernel_size": 5}), (2, 3, 4, 4)),
    ),
)
def test_bad_input_is_rejected_as_apart(run: Run, shape: tuple[int, ...]) -> None:
    model, x = run.build(), torch.zeros(shape)
    with pytest.raises(Exception) as expected:
        apart(model)(x)
    with pytest.raises(type(expected.value)) as found:
        model(x)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("shape", ((0, 3, 9, 11), (3, 9, 11)))
def test_inputs_without_batch(shape: tuple[int, ...]) -> None:
    model, x = RUNS[0].build(), torch.ones(shape)
    assert_equal(outcome(model, x), outcome(apart(model), x))


# ------------------------------------------------------------------------- it is a Sequential


def test_children_keys_and_slices_are_those_of_torch() -> None:
    run = RUNS[0].build()
    layers = OrderedDict(a=run[0], b=run[1], c=run[2], d=nn.Flatten())
    model, native = cnnext.Sequential(layers), nn.Sequential(layers)
    assert isinstance(model, nn.Sequential)
    assert list(model.state_dict()) == list(native.state_dict())
    assert list(model.named_children()) == list(native.named_children())
    assert len(model) == 4
    assert model[-1] is native[-1]
    assert type(model[:3]) is cnnext.Sequential
    assert fuses(model[:3](RUNS[0].image()))
    assert repr(model) == repr(native)
    model.append(nn.Identity())
    del model[0]
    assert [*model] == [*native][1:] + [model[-1]]


def test_copies_and_pickles_are_equal() -> None:
    model, x = RUNS[0].build(), RUNS[0].image()
    for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(clone) is cnnext.Sequential
        assert_equal(outcome(clone, x), outcome(model, x))


def test_script_trace_and_compile(fallbacks: list[str]) -> None:
    model, x = RUNS[0].build(), RUNS[0].image()
    expected = model(x).detach()
    scripted = torch.jit.script(model)
    traced = torch.jit.trace(model, x)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    symbolic = torch.fx.symbolic_trace(model)
    assert [node.op for node in symbolic.graph.nodes].count("call_module") == 3
    for other in (scripted, traced, compiled, symbolic):
        assert_same_sums(other(x), expected)


def test_empty_and_nested_ones() -> None:
    x = RUNS[0].image()
    assert cnnext.Sequential()(x) is x
    nested = cnnext.Sequential(cnnext.Sequential(*RUNS[0].build()), nn.Flatten())
    assert_equal(outcome(nested, x), outcome(apart(nested), x))


def test_convert_swaps_it_and_says_so() -> None:
    native = RUNS[0].build(nn)
    before = cnnext.report(native).layers[0]
    assert (before.name, before.status) == ("", "native")
    converted = cnnext.convert(native)
    after = cnnext.report(converted).layers[0]
    assert (after.type, after.status) == ("cnnext.nn.Sequential", "cnnext")
    assert "one function" in after.reason
    assert fuses(converted(RUNS[0].image()))
    assert type(cnnext.restore(converted)) is nn.Sequential

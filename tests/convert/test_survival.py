"""What `convert` leaves as it was: tensors, flags, hooks, optimizers."""

import copy
import functools
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.weight_norm import weight_norm

import cnnext
from cnnext.conversion.swap import convert
from tests.convert.architectures import SharedNet, images, run, sequential, types
from tests.ops.support import assert_same_sums

# ---- What survives -----------------------------------------------------------------------


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


# ---- Hooks -------------------------------------------------------------------------------


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


def test_state_dict_hooks_record_where_they_did() -> None:
    model = sequential()
    records = [Recorder() for _ in range(3)]
    model.register_state_dict_pre_hook(records[0])
    model.register_load_state_dict_pre_hook(records[1])
    model.register_load_state_dict_post_hook(records[2])
    converted = convert(model)
    converted.load_state_dict(converted.state_dict())
    assert [record.calls for record in records] == [1, 1, 1]


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
    assert types(converted) == [cnnext.nn.Sequential, cnnext.nn.Conv2d, cnnext.nn.Linear]
    assert_same_sums(converted(x), expected)

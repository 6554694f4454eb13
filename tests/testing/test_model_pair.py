"""ModelPair: the same weights three times, agreement checked in both directions."""

from types import SimpleNamespace

import pytest
import torch

import cnnext.nn
from cnnext.testing import model_pair
from cnnext.testing.errors import GRADIENT_TOLERANCE
from cnnext.testing.model_pair import (
    CHANNELS_LAST,
    CNNEXT,
    IMPLEMENTATIONS,
    INFERENCE,
    NCHW,
    OPTIMIZED,
    ModelPair,
)


def small_model(layers):
    return torch.nn.Sequential(
        layers.Conv2d(3, 8, 3, padding=1),
        layers.BatchNorm2d(8),
        layers.ReLU(inplace=True),
        layers.MaxPool2d(2),
        torch.nn.Flatten(),
        layers.Dropout(0.5),
        layers.Linear(8 * 4 * 4, 5),
    )


def make_pair(build=small_model, **options):
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return ModelPair(build, images, torch.tensor([1, 3]), **options)


def scaled_relu(factor, backward_factor=1.0):
    """A ReLU whose output, and gradient, are off by a factor."""

    class Scaled(torch.nn.ReLU):
        def forward(self, x):
            out = factor * torch.relu(x)
            if out.requires_grad:
                out.register_hook(lambda grad: backward_factor * grad)
            return out

    return Scaled


def test_weights_are_shared_and_layers_differ():
    pair = make_pair()
    native, channels_last, ours = (pair.models[name] for name in IMPLEMENTATIONS)
    assert type(ours[0]) is cnnext.nn.Conv2d
    assert type(native[0]) is torch.nn.Conv2d
    for a, b, c in zip(
        native.parameters(), channels_last.parameters(), ours.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert a.data_ptr() == c.data_ptr()
    assert pair.parameters == sum(p.numel() for p in native.parameters())
    assert pair.inputs[CHANNELS_LAST].is_contiguous(memory_format=torch.channels_last)
    assert pair.inputs[CNNEXT] is pair.inputs[NCHW]


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second = make_pair(), make_pair()
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.models[NCHW][0].weight, second.models[NCHW][0].weight)


def test_equal_models_agree():
    pair = make_pair()
    agreement = pair.check_forward()
    assert agreement.ok
    assert set(agreement.errors) == set(IMPLEMENTATIONS)
    assert max(agreement.errors.values()) < 1e-5
    assert max(pair.check_gradients().values()) < GRADIENT_TOLERANCE


def test_optimized_model_is_the_native_one_planned():
    pair = make_pair(optimized=True)
    assert tuple(pair.check_forward().errors) == INFERENCE
    optimized = pair.forward_calls()[OPTIMIZED]
    before = optimized()
    pair.training_calls()[NCHW]()
    with torch.no_grad():
        pair.models[NCHW][0].weight.mul_(2)
    assert not torch.allclose(pair.forward_calls()[OPTIMIZED](), before)
    assert pair.check_forward().ok


def test_wrong_optimized_model_disagrees(monkeypatch):
    monkeypatch.setattr(model_pair, "optimize", lambda model, *_, **__: lambda x: 1.001 * model(x))
    agreement = make_pair(optimized=True).check_forward()
    assert not agreement.ok
    assert agreement.errors[OPTIMIZED] > 1e-5 > agreement.errors[CNNEXT]


def test_wrong_forward_disagrees(monkeypatch):
    monkeypatch.setattr(cnnext.nn, "ReLU", lambda inplace: scaled_relu(1.001)())
    agreement = make_pair().check_forward()
    assert not agreement.ok
    assert agreement.errors[CNNEXT] > 1e-5 > agreement.errors[NCHW]


def test_wrong_backward_disagrees(monkeypatch):
    monkeypatch.setattr(cnnext.nn, "ReLU", lambda inplace: scaled_relu(1.0, 1.5)())
    pair = make_pair()
    assert pair.check_forward().ok
    assert pair.check_gradients()[CNNEXT] > GRADIENT_TOLERANCE


def test_forward_calls_infer():
    for call in make_pair().forward_calls().values():
        output = call()
        assert not output.requires_grad
        assert torch.equal(output, call())


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_training_calls_train(name):
    pair = make_pair()
    weight = pair.models[name][0].weight
    before = weight.detach().clone()
    loss = pair.training_calls()[name]()
    assert loss.ndim == 0
    assert weight.grad is not None
    assert not torch.equal(weight, before)


def test_loss_of_a_feature_map():
    def build(layers):
        return layers.Conv2d(3, 4, 3)

    assert make_pair(build).training_calls()[CNNEXT]() > 0


def test_gradient_limit_on_the_cpu_is_fixed():
    errors = dict.fromkeys(IMPLEMENTATIONS, 1.0)
    assert make_pair().gradient_limit(errors) == GRADIENT_TOLERANCE


@pytest.mark.parametrize(
    ("native", "limit"), [(GRADIENT_TOLERANCE / 4, GRADIENT_TOLERANCE), (0.03, 0.06)]
)
def test_gradient_limit_on_cuda_follows_native(native, limit):
    pair = make_pair()
    pair.inputs[NCHW] = SimpleNamespace(is_cuda=True)
    errors = {NCHW: native / 2, CHANNELS_LAST: native, CNNEXT: 1.0}
    assert pair.gradient_limit(errors) == limit


def test_cudnn_tries_algorithms_for_channels_last_on_cuda_only():
    before = torch.backends.cudnn.benchmark
    pair = make_pair()
    with pair.setting(CHANNELS_LAST):
        assert torch.backends.cudnn.benchmark == before
    pair.inputs[NCHW] = SimpleNamespace(is_cuda=True)
    for name in IMPLEMENTATIONS:
        with pair.setting(name):
            assert torch.backends.cudnn.benchmark == (name == CHANNELS_LAST)
    assert torch.backends.cudnn.benchmark == before


def test_reference_is_on_the_cpu_and_shares_nothing():
    pair = make_pair()
    double = pair._double()
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    assert {t.device.type for t in double.state_dict().values()} == {"cpu"}
    ours = {t.data_ptr() for t in pair.models[NCHW].state_dict().values()}
    assert ours.isdisjoint(t.data_ptr() for t in double.state_dict().values())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("backend", ["auto", "native"])
def test_equal_models_agree_on_cuda(backend):
    images = torch.randn(2, 3, 8, 8, device="cuda")
    with cnnext.flags(cuda_backend=backend):
        pair = ModelPair(small_model, images, torch.tensor([1, 3], device="cuda"))
        assert all(p.is_cuda for model in pair.models.values() for p in model.parameters())
        assert pair.check_forward().ok
        errors = pair.check_gradients()
        assert errors[CNNEXT] <= pair.gradient_limit(errors)
        assert all(loss() > 0 for loss in pair.training_calls().values())

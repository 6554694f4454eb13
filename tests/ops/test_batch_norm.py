"""batch_norm and its modules: statistics, running averages, what kernels add and bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnext
from cnnext.ops.batch_norm import BatchNormFunction
from cnnext.testing.errors import make_input
from tests.ops.support import (
    LAYOUTS,
    NATIVE,
    Problem,
    assert_agrees,
    assert_same_sums,
    check_derivatives,
    generator_for,
)

MODULES = {"BatchNorm2d": (4, 5, 6, 7), "BatchNorm1d": (9, 5), "BatchNorm1d-sequences": (3, 5, 8)}

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "cumulative": {"momentum": None},
    "fast": {"momentum": 0.7},
    "frozen_average": {"momentum": 0.0},
    "plain": {"affine": False},
    "untracked": {"track_running_stats": False},
    "untracked_plain": {"affine": False, "track_running_stats": False},
    "without_bias": {"bias": False},
    "large_eps": {"eps": 0.3},
}


def pair(name: str, options: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Ours and native, with the same parameters, which are no ones and zeros."""
    kind = name.partition("-")[0]
    ours, native = (getattr(layers, kind)(5, **options) for layers in (cnnext, nn))
    generator = generator_for(name)
    for parameter in native.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(5, generator=generator))
    ours.load_state_dict(native.state_dict())
    return ours, native


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", MODULES)
def test_modules_follow_native_through_training_and_evaluation(name: str, options: str) -> None:
    ours, native = pair(name, OPTIONS[options])
    shape = MODULES[name]
    for step in range(4):
        x = make_input("normal", shape, generator_for(name, step), torch.float32) * 3 + 1
        seed = make_input("normal", shape, generator_for("seed", step), torch.float32)
        for module in (ours, native):
            module.train(step != 2)  # and back
        results = []
        for module in (ours, native):
            leaf = x.clone().requires_grad_()
            output = module(leaf)
            results.append(
                [output, *torch.autograd.grad(output, [leaf, *module.parameters()], seed)]
            )
        assert_same_sums(*results, terms=30)
        assert list(ours.state_dict()) == list(native.state_dict())
        assert_same_sums(list(ours.buffers()), list(native.buffers()))
    assert repr(ours) == repr(native)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mean", (0.0, 1e2, 1e4))
@pytest.mark.parametrize("shape", ((8, 3, 56, 56), (3, 67, 7, 7)), ids=str)
def test_statistics_are_as_exact_as_native_at_any_mean(
    shape: tuple[int, ...], mean: float, layout: str
) -> None:
    """Also where an outlier comes first, as a border of zeros does."""
    x = make_input("normal", shape, generator_for(shape, mean), torch.float32) + mean
    x[:, :, 0] = 0
    x = x.contiguous(memory_format=LAYOUTS[layout])

    def statistics(layers: Any, dtype: torch.dtype) -> list[Tensor]:
        module = layers.BatchNorm2d(shape[1], momentum=1.0, dtype=dtype)
        module(x.to(dtype))
        return [module.running_mean, module.running_var]

    exact = statistics(nn, torch.float64)
    results = zip(
        statistics(cnnext, torch.float32), statistics(nn, torch.float32), exact, strict=True
    )
    for ours, native, reference in results:
        assert_agrees(ours, native, reference, what="statistics")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("bounds", ((None, None), (0.0, None), (0.0, 6.0), (-0.5, 0.25)), ids=str)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_residual_and_bounds(
    dtype: torch.dtype, bounds: tuple[Any, Any], training: bool, layout: str
) -> None:
    problem = summed(bounds, training, (3, 5, 6, 7), dtype).in_layout(layout)
    problem.check_outputs(problem.outputs(cnnext.functional))
    problem.check_gradients(problem.gradients(cnnext.functional))


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("bounds", ((None, None), (0.0, None), (-0.5, 0.25)), ids=str)
def test_first_and_second_derivatives_of_bounded_sums(
    bounds: tuple[Any, Any], training: bool
) -> None:
    check_derivatives(summed(bounds, training, (2, 2, 2, 3), torch.float64))


def summed(
    bounds: tuple[Any, Any], training: bool, shape: tuple[int, ...], dtype: torch.dtype
) -> Problem:
    """bounded(batch_norm(input) + residual), of an input, a residual, a weight and a bias."""
    low, high = bounds

    def apply(library: Any, operands: Any) -> tuple[Tensor, ...]:
        x, residual, weight, bias = operands
        channels = torch.ones(shape[1], dtype=x.dtype)
        running = (0.25 * channels, 0.5 * channels)
        if library is not NATIVE:
            return (
                BatchNormFunction.apply(
                    x, *running, weight, bias, training, 0.1, 1e-5, residual, low, high
                ),
            )
        y = nn.functional.batch_norm(x, *running, weight, bias, training) + residual
        if low is not None:
            y = nn.functional.hardtanh(y, low, high) if high is not None else y.relu()
        return (y,)

    generator = generator_for("summed", bounds, training)
    operands = [
        make_input("normal", size, generator, dtype)
        for size in (shape, shape, shape[1:2], shape[1:2])
    ]
    return Problem(apply, tuple(operands))


def test_running_statistics_change_in_place_and_are_counted() -> None:
    module = cnnext.BatchNorm2d(3)
    mean, var, count = module.running_mean, module.running_var, module.num_batches_tracked
    module(torch.randn(2, 3, 4, 4))
    assert module.running_mean is mean
    assert module.running_var is var
    assert int(count) == 1
    assert not torch.equal(mean, torch.zeros(3))


def test_infinite_values_reach_the_running_statistics_as_in_native() -> None:
    x = torch.randn(2, 3, 4, 5)
    x[0, 1, 2, 3] = torch.inf
    x[1, 2, 0, 0] = torch.nan
    ours, native = pair("BatchNorm2d", {})
    ours, native = cnnext.BatchNorm2d(3), nn.BatchNorm2d(3)
    assert_same_sums(ours(x), native(x))
    assert_same_sums(list(ours.buffers()), list(native.buffers()))


@pytest.mark.parametrize(
    "shape, error",
    (((1, 5, 1, 1), ValueError), ((2, 5, 4), ValueError), ((2, 4, 3, 3), RuntimeError)),
    ids=str,
)
def test_bad_input_is_rejected_as_in_native(shape: tuple[int, ...], error: type[Exception]) -> None:
    with pytest.raises(error) as expected:
        nn.BatchNorm2d(5)(torch.zeros(shape))
    with pytest.raises(error) as found:
        cnnext.BatchNorm2d(5)(torch.zeros(shape))
    assert str(expected.value).partition(", got")[0].lower() in str(found.value).lower()


def test_images_of_three_dimensions_go_to_native(fallbacks: list[str]) -> None:
    x, channels = torch.randn(2, 3, 2, 4, 5), torch.ones(3)
    expected = nn.functional.batch_norm(x, None, None, channels, training=True)
    found = cnnext.functional.batch_norm(x, None, None, channels, training=True)
    assert_same_sums(found, expected)
    assert fallbacks == [
        "cnnext.batch_norm uses native PyTorch: there are no kernels for input.dim()=5"
    ]


def test_synchronised_over_processes_it_is_torch_s() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(cnnext.Sequential(cnnext.BatchNorm2d(3)))
    assert type(model[0]) is nn.SyncBatchNorm
    assert type(cnnext.convert(model)[0]) is nn.SyncBatchNorm

"""Comparisons hold equal work, and notice a wrong result."""

import pytest
import torch

import cnnext.functional
from cnnext.testing import comparisons
from cnnext.testing.comparisons import MODES, comparison, implementations
from cnnext.testing.specs import MEASURED


def small_case(op):
    return next(case for case in MEASURED[op].edge_cases if case.name.endswith("_9"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", MEASURED)
def test_implementations_return_the_same_tensors(op, mode):
    match = comparison(op, small_case(op), mode)
    assert tuple(match.calls) == implementations(op)
    results = [[tensor.shape for tensor in call()] for call in match.calls.values()]
    assert all(shapes == results[0] for shapes in results)
    match.check()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", MEASURED)
def test_wrong_result_is_noticed(op, mode, monkeypatch):
    namespace, name = (cnnext.nn.LSTM, "forward") if op == "lstm" else (cnnext.functional, op)
    right = getattr(namespace, name)

    def off(result):
        return tuple(map(off, result)) if isinstance(result, tuple) else 1.001 * result

    def wrong(*args, **kwargs):
        return off(right(*args, **kwargs))

    monkeypatch.setattr(namespace, name, wrong)
    case = small_case(op)
    with pytest.raises(AssertionError, match=f"{op} {case}, {mode}, cnnext"):
        comparison(op, case, mode).check()


def test_layouts_are_those_of_the_names():
    calls = comparison("conv2d", small_case("conv2d")).calls
    for name, call in calls.items():
        (output,) = call()
        layout = torch.channels_last if "channels_last" in name else torch.contiguous_format
        assert output.is_contiguous(memory_format=layout), name


def test_seed_decides_the_operands():
    case = small_case("linear")
    first, same, other = (
        comparison("linear", case, seed=seed).calls["torch"]() for seed in (1, 1, 2)
    )
    assert torch.equal(first[0], same[0])
    assert not torch.equal(first[0], other[0])


def test_unknown_names():
    case = small_case("relu")
    with pytest.raises(ValueError, match="op must be one of .*, conv2d, .*got 'conv9d'"):
        comparison("conv9d", case)
    with pytest.raises(ValueError, match="mode must be one of forward, .*got 'sideways'"):
        comparison("relu", case, "sideways")


def test_select_by_operator_and_pattern():
    assert {op for op, _ in comparisons.select()} == set(MEASURED)
    chosen = list(comparisons.select("conv2d", "resnet50_3x3_s2*"))
    assert [case.name for _, case in chosen] == [
        f"resnet50_3x3_s2_{channels}" for channels in ("128@56", "256@28", "512@14")
    ]
    assert list(comparisons.select("relu", "vgg16_conv*")) == []

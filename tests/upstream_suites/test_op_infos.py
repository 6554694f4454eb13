"""PyTorch's OpInfos: its own sample, reference and error inputs, native and cnnext side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput
from torch.utils._pytree import tree_leaves

import cnnext
from tests.ops.support import assert_same_sums
from tests.upstream_suites.outcomes import assert_same_outcome, outcome_of

INFOS = {
    info.name: info
    for info in op_db
    if info.name.removeprefix("nn.functional.") in cnnext.functional.__all__
}
# One dtype for every way that a call can go: our kernels, and native's of each kind.
_QUICK = (torch.float32, torch.bfloat16, torch.int64, torch.complex64)
# Operators with so many samples that one dtype takes as long as all dtypes of the others.
_MANY_SAMPLES = ("nn.functional.max_pool2d",)


def _param(name: str, dtype: torch.dtype) -> Any:
    quick = _QUICK[:1] if name in _MANY_SAMPLES else _QUICK
    marks = () if dtype in quick else pytest.mark.slow
    name_of_test = f"{name.rsplit('.')[-1]}-{str(dtype).removeprefix('torch.')}"
    return pytest.param(INFOS[name], dtype, id=name_of_test, marks=marks)


IN_DTYPES = [
    _param(name, dtype)
    for name in INFOS
    for dtype in sorted(INFOS[name].supported_dtypes("cpu"), key=str)
]


def ours(info: OpInfo) -> Any:
    return getattr(cnnext.functional, info.name.removeprefix("nn.functional."))


def _call(function: Any, sample: SampleInput) -> Any:
    torch.manual_seed(42)  # of dropout, as its OpInfo does
    return function(sample.input, *sample.args, **sample.kwargs)


def _leaves(sample: SampleInput) -> list[Tensor]:
    values = tree_leaves((sample.input, sample.args, sample.kwargs))
    return [v for v in values if isinstance(v, Tensor) and v.requires_grad]


def _samples(info: OpInfo, dtype: torch.dtype, requires_grad: bool) -> Iterator[SampleInput]:
    yield from info.sample_inputs("cpu", dtype, requires_grad)
    if info.reference_inputs_func is not None:  # else they are the samples once more
        yield from info.reference_inputs("cpu", dtype, requires_grad)


def _gradients(result: Any, sample: SampleInput) -> Any:
    output = next(r for r in tree_leaves(result) if isinstance(r, Tensor))
    if not output.requires_grad:
        return None
    return torch.autograd.grad(output, _leaves(sample), torch.ones_like(output), allow_unused=True)


def _check(info: OpInfo, sample: SampleInput) -> None:
    native = outcome_of(partial(_call, info, sample))
    result = outcome_of(partial(_call, ours(info), sample))
    try:
        assert_same_outcome(result, native)
        if _leaves(sample) and not isinstance(native, Exception):
            pairs = zip(_gradients(result, sample), _gradients(native, sample), strict=True)
            for gradient, expected in pairs:
                assert (gradient is None) == (expected is None)
                if expected is not None:
                    assert_same_sums(gradient, expected, terms=1.0)
    except AssertionError as difference:
        pytest.fail(f"{sample.summary()}: {difference}")


@pytest.mark.parametrize("info, dtype", IN_DTYPES)
def test_samples(info: OpInfo, dtype: torch.dtype) -> None:
    differentiable = dtype in info.supported_backward_dtypes("cpu")
    count = 0
    for requires_grad in (False, True) if differentiable else (False,):
        for sample in _samples(info, dtype, requires_grad):
            _check(info, sample)
            count += 1
    assert count > 0


@pytest.mark.parametrize("info, dtype", IN_DTYPES)
def test_noncontiguous_samples(info: OpInfo, dtype: torch.dtype) -> None:
    differentiable = dtype in info.supported_backward_dtypes("cpu")
    for sample in info.sample_inputs("cpu", dtype, requires_grad=differentiable):
        _check(info, sample.noncontiguous())


@pytest.mark.parametrize("name", [name for name in INFOS if INFOS[name].error_inputs_func])
def test_error_inputs(name: str) -> None:
    """The exception has the type and the message that the OpInfo expects."""
    for error in INFOS[name].error_inputs("cpu"):
        with pytest.raises(error.error_type) as raised:
            _call(ours(INFOS[name]), error.sample_input)
        assert re.search(error.error_regex, str(raised.value)), error.sample_input.summary()


def test_every_function_but_the_cells_has_samples() -> None:
    """PyTorch has no OpInfos of recurrent cells, and torchvision none of its operators."""
    named = {name.removeprefix("nn.functional.") for name in INFOS}
    cells = {name for name in cnnext.functional.__all__ if name.endswith("_cell")}
    assert named == set(cnnext.functional.__all__) - cells - {"roi_pool"}

"""PyTorch's ModuleInfos: its own inputs of modules, and what its tests of modules check."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close
from torch.testing._internal.common_modules import (
    FunctionInput,
    ModuleErrorEnum,
    ModuleInfo,
    ModuleInput,
    module_db,
)
from torch.utils._pytree import tree_leaves, tree_map

import cnnext
from tests.upstream_suites.outcomes import assert_same_outcome

OURS = {module.__name__: module for module in cnnext.nn.MODULES}
INFOS = {info.module_cls.__name__: info for info in module_db if info.module_cls.__name__ in OURS}
FORMATS = (torch.contiguous_format, torch.channels_last)
FORMATS_OF_VOLUMES = (torch.contiguous_format, torch.channels_last_3d)

every_module = pytest.mark.parametrize("name", INFOS)
every_dtype = pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
every_mode = pytest.mark.parametrize("training", (True, False), ids=("train", "eval"))


def _inputs(
    info: ModuleInfo, dtype: torch.dtype, requires_grad: bool, training: bool
) -> list[ModuleInput]:
    make = info.module_inputs_func
    inputs = make(info, "cpu", dtype, requires_grad=requires_grad, training=training)
    return [i for i in inputs if i.forward_input is not None]


def _build(module_class: type[nn.Module], arguments: FunctionInput, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    return module_class(*arguments.args, **{"device": "cpu", "dtype": dtype, **arguments.kwargs})


def _plain(
    module_class: type[nn.Module], arguments: FunctionInput, dtype: torch.dtype
) -> nn.Module:
    """For modules without parameters, whose constructors take no dtype."""
    torch.manual_seed(0)
    return module_class(*arguments.args, **arguments.kwargs).to(dtype)


def _pair(
    name: str, dtype: torch.dtype, training: bool, requires_grad: bool = False
) -> Iterator[tuple[nn.Module, nn.Module, FunctionInput]]:
    """cnnext's module, native's, and an input of the forward pass, for every input there is."""
    info = INFOS[name]
    for module_input in _inputs(info, dtype, requires_grad, training):
        arguments = module_input.constructor_input
        ours = _plain(OURS[name], arguments, dtype).train(training)
        native = _plain(info.module_cls, arguments, dtype).train(training)
        yield ours, native, module_input.forward_input


def _copied(arguments: FunctionInput, change: Any = lambda t: t) -> FunctionInput:
    """New leaves with the same values, for a call that changes or differentiates them."""

    def copy_of(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return change(value.detach().clone()).requires_grad_(value.requires_grad)

    return FunctionInput(*tree_map(copy_of, arguments.args), **tree_map(copy_of, arguments.kwargs))


def _forward(module: nn.Module, arguments: FunctionInput) -> Any:
    return module(*arguments.args, **arguments.kwargs)


def _results(module: nn.Module, arguments: FunctionInput) -> tuple[Any, Any]:
    """Outputs and the gradients of their weighted sum, by the inputs and the parameters."""
    output = _forward(module, arguments)
    outputs = [o for o in tree_leaves(output) if o.requires_grad]
    tensors = tree_leaves((arguments.args, arguments.kwargs, list(module.parameters())))
    leaves = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad and t.is_leaf]
    seeds = [torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view_as(o) for o in outputs]
    if not outputs:
        return output, ()
    return output, torch.autograd.grad(outputs, leaves, seeds, allow_unused=True)


@every_module
@every_dtype
@every_mode
@pytest.mark.parametrize("requires_grad", (False, True), ids=("values", "gradients"))
def test_forward_and_gradients(
    name: str, dtype: torch.dtype, training: bool, requires_grad: bool
) -> None:
    for ours, native, arguments in _pair(name, dtype, training, requires_grad):
        assert repr(ours) == repr(native)
        assert list(ours.state_dict()) == list(native.state_dict())
        for mine, other in zip(ours.parameters(), native.parameters(), strict=True):
            assert torch.equal(mine, other)  # the same random numbers
        if getattr(ours, "inplace", False) and requires_grad:
            continue  # of leaves, which native rejects
        assert_same_outcome(
            _results(ours, _copied(arguments)), _results(native, _copied(arguments))
        )


@every_module
@every_dtype
def test_constructors_take_device_and_dtype(name: str, dtype: torch.dtype) -> None:
    for module_input in _inputs(INFOS[name], dtype, False, True):
        arguments = module_input.constructor_input
        if not any(True for _ in _plain(OURS[name], arguments, dtype).parameters()):
            return
        for mine, other in zip(
            _build(OURS[name], arguments, dtype).parameters(),
            _build(INFOS[name].module_cls, arguments, dtype).parameters(),
            strict=True,
        ):
            assert torch.equal(mine, other) and mine.dtype == dtype


def _in_format(memory_format: torch.memory_format, axes: int, t: Tensor) -> Tensor:
    return t.to(memory_format=memory_format) if t.dim() == axes else t


@every_module
@every_dtype
def test_memory_formats(name: str, dtype: torch.dtype) -> None:
    """Outputs and gradients of inputs and parameters are channels_last where native's are."""
    for ours, native, arguments in _pair(name, dtype, True, True):
        if getattr(ours, "inplace", False):
            continue

        of_volumes = name.endswith("3d")
        axes, formats = (5, FORMATS_OF_VOLUMES) if of_volumes else (4, FORMATS)
        for of_input, of_module in product(formats, repeat=2):
            to = partial(_in_format, of_input, axes)
            mine = _results(ours.to(memory_format=of_module), _copied(arguments, to))
            other = _results(native.to(memory_format=of_module), _copied(arguments, to))
            assert_same_outcome(mine, other)
            pairs = list(zip(tree_leaves(mine), tree_leaves(other), strict=True))
            if name == "AdaptiveAvgPool2d":
                # Native's gradient of a global mean has the output's strides, ours has the input's.
                pairs = pairs[:1]
            for a, b in pairs:
                if a.dim() == axes:
                    assert [a.is_contiguous(memory_format=f) for f in formats] == [
                        b.is_contiguous(memory_format=f) for f in formats
                    ]


@every_module
@every_dtype
def test_noncontiguous_inputs_and_gradients(name: str, dtype: torch.dtype) -> None:
    def with_gaps(t: Tensor) -> Tensor:
        return torch.repeat_interleave(t, 2, dim=-1)[..., ::2].detach() if t.dim() else t

    for ours, native, arguments in _pair(name, dtype, True, True):
        if getattr(ours, "inplace", False):
            continue
        apart = _copied(arguments, with_gaps)
        assert_same_outcome(_results(ours, apart), _results(native, _copied(arguments)))


@every_module
def test_in_place_computes_the_same(name: str) -> None:
    for ours, _, arguments in _pair(name, torch.float32, True, True):
        if not hasattr(ours, "inplace"):
            pytest.skip("there is no in-place variant of this module")
        expected = _results(ours, _copied(arguments))
        ours.inplace = True
        (leaf,) = _copied(arguments).args
        written = leaf * 1
        output = ours(written)
        assert output is written and output._version == 1
        assert_close(output, expected[0], rtol=0, atol=0)
        seed = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        assert_close(torch.autograd.grad(output, leaf, seed), expected[1], rtol=0, atol=0)


@every_module
@every_mode
def test_pickle_and_deepcopy(name: str, training: bool) -> None:
    for ours, _, arguments in _pair(name, torch.float32, training):
        expected = _forward(ours, _copied(arguments))
        for clone in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
            assert type(clone) is type(ours) and clone.training == training
            assert_close(_forward(clone, _copied(arguments)), expected, rtol=0, atol=0)


@every_module
@pytest.mark.slow
def test_derivatives(name: str) -> None:
    for ours, _, arguments in _pair(name, torch.float64, True, True):
        tensors = [t for t in tree_leaves(arguments.args) if isinstance(t, Tensor)]
        if getattr(ours, "inplace", False) or any(t.numel() > 500 for t in tensors):
            continue
        parameters = dict(ours.named_parameters())

        def function(*values: Tensor, ours=ours, parameters=parameters, arguments=arguments) -> Any:
            given = dict(zip(parameters, values, strict=False))
            output = torch.func.functional_call(ours, given, arguments.args, arguments.kwargs)
            return tuple(tree_leaves(output))

        leaves = (*parameters.values(), *[t for t in tensors if t.requires_grad])
        assert gradcheck(function, leaves, fast_mode=True)
        assert gradgradcheck(function, leaves, fast_mode=True)


@every_dtype
@every_mode
@pytest.mark.parametrize("name", [n for n in INFOS if INFOS[n].module_error_inputs_func])
def test_error_inputs(name: str, dtype: torch.dtype, training: bool) -> None:
    """As native's, the constructor takes no dtype: a wrong size comes before a wrong dtype."""
    info = INFOS[name]
    make = info.module_error_inputs_func
    for error in make(info, "cpu", dtype, requires_grad=False, training=training):
        arguments = error.module_error_input
        with pytest.raises(error.error_type) as raised:
            module = OURS[name](
                *arguments.constructor_input.args, **arguments.constructor_input.kwargs
            )
            if error.error_on is ModuleErrorEnum.FORWARD_ERROR:
                _forward(module, arguments.forward_input)
        assert re.search(error.error_regex, str(raised.value))


def test_every_module_but_two_has_inputs() -> None:
    """PyTorch has no ModuleInfos of these."""
    assert set(INFOS) == set(OURS) - {"Dropout", "MaxUnpool2d"}

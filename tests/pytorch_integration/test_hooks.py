"""Hooks on modules, on all modules, on tensors and on nodes of the graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    each_layer,
    each_operator,
    grads_of,
    loss_of,
    outputs_of,
)

# ------------------------------------------------------------------------------ module hooks


def double(*arguments: Any) -> Any:
    """The last of a hook's arguments, doubled."""
    return torch.utils._pytree.tree_map_only(Tensor, lambda t: 2 * t, arguments[-1])


#: What registers a hook that changes what passes, on a module, or on all.
HOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "forward_pre": lambda m: m.register_forward_pre_hook(double),
    "forward_pre_with_kwargs": lambda m: m.register_forward_pre_hook(
        lambda m, args, kwargs: (double(args), kwargs), with_kwargs=True
    ),
    "forward": lambda m: m.register_forward_hook(double),
    "full_backward_pre": lambda m: m.register_full_backward_pre_hook(double),
    "full_backward": lambda m: m.register_full_backward_hook(lambda m, inputs, _: double(inputs)),
    "global_forward_pre": lambda m: module_hooks.register_module_forward_pre_hook(double),
    "global_forward": lambda m: module_hooks.register_module_forward_hook(double),
    "global_full_backward_pre": lambda m: module_hooks.register_module_full_backward_pre_hook(
        double
    ),
    "global_full_backward": lambda m: module_hooks.register_module_full_backward_hook(
        lambda m, inputs, _: double(inputs)
    ),
}


@pytest.mark.parametrize("hook", HOOKS)
@each_layer
def test_a_hook_that_changes_values(layer: Layer, hook: str) -> None:
    results = []
    for module in layer.pair():
        image, *states = layer.inputs()
        image.requires_grad_()
        with contextlib.closing(_Handle(HOOKS[hook](module))):
            outputs = outputs_of(module(image, *states))
            loss_of(outputs).backward()
        gradients = grads_of(module)
        results.append((outputs, image.grad, gradients))
    assert_same_sums(*results)


class _Handle:
    def __init__(self, handle: Any) -> None:
        self.close = handle.remove


def test_activations_are_seen_at_every_layer() -> None:
    """As feature extractors do."""
    names, seen = [], []
    for _, layers in LIBRARIES:
        model, activations = Network(layers), []
        for module in model.modules():
            module.register_forward_hook(lambda m, i, o, to=activations: to.append(outputs_of(o)))
        model(Network.images())
        names.append([type(module).__name__ for module in model.modules()])
        seen.append(activations)
    assert names[0] == names[1]
    assert_same_sums(*seen)


# ------------------------------------------------------------------------------- graph hooks


@each_operator
def test_hooks_on_tensors_and_nodes(op: Operator) -> None:
    """Each is called once, and a gradient that one changes is the one that goes on."""
    results = []
    for library in (CNNEXT, NATIVE):
        calls = []
        leaves = op.leaves()
        inner = [leaf * 1 for leaf in leaves]
        inner[0].register_hook(lambda g, calls=calls: calls.append("tensor") or 3 * g)
        leaves[0].register_post_accumulate_grad_hook(lambda t, c=calls: c.append("accumulated"))
        outputs = op.call(library, *inner)
        node = outputs[0].grad_fn
        node.register_prehook(lambda gradients, calls=calls: calls.append("before"))
        node.register_hook(lambda of_inputs, of_outputs, calls=calls: calls.append("after"))
        loss_of(outputs).backward()
        results.append((calls, [leaf.grad for leaf in leaves]))
    assert results[0][0] == results[1][0] == ["before", "after", "tensor", "accumulated"]
    assert_same_sums(results[0][1], results[1][1])


@each_operator
def test_gradients_of_inner_tensors(op: Operator) -> None:
    """(Of a cell's states only h: its c feeds its h in native's CPU code, in no fused cell.)"""
    retained = []
    for library in (CNNEXT, NATIVE):
        inner = [leaf * 1 for leaf in op.leaves()]
        outputs = op.call(library, *inner)
        tensors = (*inner, outputs[0])
        for tensor in tensors:
            tensor.retain_grad()
        loss_of(outputs).backward()
        retained.append([tensor.grad for tensor in tensors])
    assert_same_sums(*retained)


@each_operator
def test_a_multi_grad_hook_is_called_once(op: Operator) -> None:
    leaves, calls = op.leaves(), []
    with torch.autograd.graph.register_multi_grad_hook(leaves, calls.append):
        loss_of(op.call(CNNEXT, *leaves)).backward()
    (gradients,) = calls
    for gradient, leaf in zip(gradients, leaves, strict=True):
        assert_bitwise_equal(gradient, leaf.grad)


@each_operator
def test_a_disabled_graph_keeps_nothing(op: Operator) -> None:
    """A region that forbids hooks on saved tensors has no need of any here."""
    leaves = op.leaves()
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        loss = loss_of(op.call(CNNEXT, *leaves))
    assert all(t is not None for t in torch.autograd.grad(loss, leaves))

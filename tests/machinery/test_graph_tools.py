"""Tools on the autograd graph: checkpoints, hooks of every kind, anomaly mode, changed tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.utils.checkpoint import (
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)

import cnnext
from cnnext.testing.errors import assert_bitwise_equal
from tests.machinery.cases import (
    LIBRARIES,
    Layer,
    Network,
    Operator,
    assert_close,
    assert_same_outcome,
    each_layer,
    each_operator,
    gradients_of,
    loss_of,
    outcome,
    outputs_of,
)
from tests.ops.support import CNNEXT, NATIVE

Gradients = dict[str, Tensor]


def assert_same_gradients(ours: Gradients, expected: Gradients) -> None:
    assert ours.keys() == expected.keys()
    for name, gradient in ours.items():
        assert_bitwise_equal(gradient, expected[name], what=name)


# ------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("reentrant", (True, False), ids=("reentrant", "not_reentrant"))
@each_layer
def test_checkpointed_module(layer: Layer, reentrant: bool) -> None:
    module = layer.build(cnnext.nn)
    image, *states = layer.inputs()
    image.requires_grad_()
    expected = gradients_of(module, image, *states)
    of_image, image.grad = image.grad, None
    run = lambda *inputs: checkpoint(module, *inputs, use_reentrant=reentrant)  # noqa: E731
    module.zero_grad()
    loss_of(run(image, *states)).backward()
    assert_same_gradients({name: p.grad for name, p in module.named_parameters()}, expected)
    assert_bitwise_equal(image.grad, of_image)


@pytest.mark.parametrize("early_stop", (True, False))
def test_selective_checkpoint_of_a_network(early_stop: bool) -> None:
    """Our products are saved, and the others computed again."""
    model = Network(cnnext.nn)
    expected = gradients_of(model, Network.images())
    saved = [torch.ops.cnnext.conv2d_forward.default, torch.ops.cnnext.linear_forward.default]
    calls = []
    forward = model.forward

    def counted(images: Tensor) -> Tensor:
        calls.append(images.shape)
        return forward(images)

    with set_checkpoint_early_stop(early_stop):
        output = checkpoint(
            counted,
            Network.images(),
            use_reentrant=False,
            context_fn=lambda: create_selective_checkpoint_contexts(saved),
        )
        model.zero_grad()
        loss_of(output).backward()
    assert len(calls) == 2
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)


def test_checkpoint_sequential() -> None:
    model = Network(cnnext.nn).features
    expected = gradients_of(model, Network.images())
    model.zero_grad()
    output = checkpoint_sequential(model, 2, Network.images(), use_reentrant=False)
    loss_of(output).backward()
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)


def test_checkpoint_under_compile() -> None:
    torch._dynamo.reset()
    model = Network(cnnext.nn)
    expected = gradients_of(model, Network.images())

    @torch.compile(backend="aot_eager", fullgraph=True)
    def run(images: Tensor) -> Tensor:
        return checkpoint(model, images, use_reentrant=False)

    model.zero_grad()
    loss_of(run(Network.images())).backward()
    assert_close({name: p.grad for name, p in model.named_parameters()}, expected)


# ------------------------------------------------------------------------------ module hooks


def double(*arguments: Any) -> Any:
    """Of a hook's arguments the last, doubled."""
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
        gradients = {name: p.grad for name, p in module.named_parameters()}
        results.append((outputs, image.grad, gradients))
    assert_close(*results)


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
    assert_close(*seen)


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
    assert_close(results[0][1], results[1][1])


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
    assert_close(*retained)


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


# ----------------------------------------------------------------------------- saved tensors


def on_disk(directory: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    files = iter(range(1000))

    def pack(t: Tensor) -> Any:
        path = directory / str(next(files))
        torch.save(t, path)
        return path

    return pack, lambda path: torch.load(path)


@pytest.mark.parametrize("place", ("cpu", "disk", "half"))
@each_operator
def test_saved_tensors_elsewhere(op: Operator, place: str, tmp_path: Any) -> None:
    """In half precision integers survive; the positions of a pool are not floating."""

    def halve(t: Tensor) -> Any:
        return (t.half(), t.dtype) if t.is_floating_point() else (t, t.dtype)

    hooks = {
        "cpu": lambda: torch.autograd.graph.save_on_cpu(),
        "disk": lambda: torch.autograd.graph.saved_tensors_hooks(*on_disk(tmp_path)),
        "half": lambda: torch.autograd.graph.saved_tensors_hooks(
            halve, lambda packed: packed[0].to(packed[1])
        ),
    }[place]
    results = []
    for hooked in (True, False):
        leaves = tuple(leaf.detach().round().requires_grad_() for leaf in op.leaves())
        with hooks() if hooked else contextlib.nullcontext():
            outputs = op.call(CNNEXT, *leaves)
        seeds = [torch.ones_like(t) for t in outputs]
        results.append(torch.autograd.grad(outputs, leaves, seeds))
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if place == "half" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(*results, **tolerance)


@each_operator
def test_no_more_is_saved_than_by_native(op: Operator) -> None:
    """Counted in bytes, tensors kept twice once."""
    kept = []
    for library in (CNNEXT, NATIVE):
        packed: dict[int, int] = {}

        def pack(t: Tensor, packed: dict[int, int] = packed) -> Tensor:
            packed[t.data_ptr()] = t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            outputs = op.call(library, *op.leaves())
        kept.append((sum(packed.values()), outputs))
    assert 0 < kept[0][0] <= kept[1][0]


@pytest.mark.parametrize("changed", ("operand", "output"))
@each_operator
def test_changes_that_native_forbids(op: Operator, changed: str) -> None:
    """Of every operand and output: an error only where native has one, or the right gradient."""
    places = range(len(op.shapes) if changed == "operand" else len(op.call(NATIVE, *op.operands())))
    for place in places:
        results = []
        for library in (CNNEXT, NATIVE):
            leaves = op.leaves()
            inner = [leaf * 1 for leaf in leaves]
            outputs = op.call(library, *inner)
            total = sum(t.sum() for t in outputs)
            with torch.no_grad():
                (inner if changed == "operand" else outputs)[place].mul_(-2)
            results.append(outcome(torch.autograd.grad, total, leaves))
        ours, native = results
        if native is RuntimeError and ours is not RuntimeError:  # it was not saved by us
            leaves = op.leaves()
            total = sum(t.sum() for t in op.call(NATIVE, *leaves))
            native = torch.autograd.grad(total, leaves)
        assert_same_outcome(ours, native)


@each_operator
def test_a_saved_tensor_that_changed_is_named(op: Operator) -> None:
    leaves = op.leaves()
    inner = [leaf * 1 for leaf in leaves]
    outputs = op.call(CNNEXT, *inner)
    total = sum(t.sum() for t in outputs)
    with torch.no_grad():
        for tensor in (*inner, *outputs):
            tensor += 1
    if op.name == "max_pool2d":  # keeps positions alone, which nobody else has
        torch.autograd.grad(total, leaves)
        return
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(total, leaves)


# ------------------------------------------------------------------------------ anomaly mode


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@each_layer
def test_anomaly_mode_finds_nothing_where_nothing_is(layer: Layer) -> None:
    module = layer.build(cnnext.nn)
    expected = gradients_of(module, *layer.inputs()) if list(module.parameters()) else {}
    image, *states = layer.inputs()
    module.zero_grad()
    with torch.autograd.detect_anomaly():
        loss_of(module(image.requires_grad_(), *states)).backward()
    assert_same_gradients({name: p.grad for name, p in module.named_parameters()}, expected)


@each_operator
def test_anomaly_mode_names_the_operator(op: Operator) -> None:
    """Where a NaN arises in its backward pass, and the line of its forward pass."""
    leaves = op.leaves()
    with (
        pytest.warns(UserWarning, match="test_graph_tools.py"),
        pytest.raises(RuntimeError, match="FunctionBackward' returned nan"),
        torch.autograd.detect_anomaly(),
    ):
        outputs = op.call(CNNEXT, *leaves)
        for t in outputs:
            t.register_hook(lambda gradient: gradient * torch.nan)
        loss_of(outputs).backward()

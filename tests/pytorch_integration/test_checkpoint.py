"""torch.utils.checkpoint: the bits that come without it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import (
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)

import cnnext
from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, assert_same_sums
from tests.pytorch_integration.cases import (
    Layer,
    Network,
    Operator,
    assert_same_bits,
    each_layer,
    each_operator,
    gradients_of,
    grads_of,
    loss_of,
)

each_way = pytest.mark.parametrize("reentrant", (True, False), ids=("reentrant", "not_reentrant"))


@each_way
@each_operator
def test_checkpointed_function(op: Operator, reentrant: bool) -> None:
    gradients = []
    for run in (partial(checkpoint, op.call, use_reentrant=reentrant), op.call):
        leaves = op.leaves()
        loss_of(run(CNNEXT, *leaves)).backward()
        gradients.append([leaf.grad for leaf in leaves])
    assert_same_bits(*gradients)


@each_way
@each_layer
def test_checkpointed_module(layer: Layer, reentrant: bool) -> None:
    if reentrant and layer.name == "LSTM":
        pytest.skip("torch loses the gradients of tensors inside an inner tuple")
    module = layer.build(cnnext.nn)
    image, *states = layer.inputs()
    image.requires_grad_()
    expected = gradients_of(module, image, *states)
    of_image, image.grad = image.grad, None
    module.zero_grad()
    loss_of(checkpoint(module, image, *states, use_reentrant=reentrant)).backward()
    assert_same_bits(grads_of(module), expected)
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
    assert_same_bits(grads_of(model), expected)


def test_checkpoint_sequential() -> None:
    model = Network(cnnext.nn).features
    expected = gradients_of(model, Network.images())
    model.zero_grad()
    output = checkpoint_sequential(model, 2, Network.images(), use_reentrant=False)
    loss_of(output).backward()
    assert_same_bits(grads_of(model), expected)


def test_checkpoint_under_compile() -> None:
    torch._dynamo.reset()
    model = Network(cnnext.nn)
    expected = gradients_of(model, Network.images())

    @torch.compile(backend="aot_eager", fullgraph=True)
    def run(images: Tensor) -> Tensor:
        return checkpoint(model, images, use_reentrant=False)

    model.zero_grad()
    loss_of(run(Network.images())).backward()
    assert_same_sums(grads_of(model), expected)

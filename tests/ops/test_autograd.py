"""What autograd, its modes and its tools ask of every operator."""

from __future__ import annotations

import concurrent.futures
import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import cnnext
from cnnext.ops.recurrence import Cell
from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.calls import OPS, call, operands_of
from tests.ops.support import CNNEXT, NATIVE, assert_agrees, use_threads

FUNCTIONS = {
    "adaptive_avg_pool2d": cnnext.autograd.AdaptiveAvgPool2dFunction,
    "adaptive_max_pool2d": cnnext.autograd.AdaptiveMaxPool2dFunction,
    "avg_pool2d": cnnext.autograd.AvgPool2dFunction,
    "conv2d": cnnext.autograd.Conv2dFunction,
    "gru_cell": cnnext.autograd.RecurrenceFunction,
    "linear": cnnext.autograd.LinearFunction,
    "lstm_cell": cnnext.autograd.LSTMCellFunction,
    "max_pool2d": cnnext.autograd.MaxPool2dFunction,
    "relu": cnnext.autograd.ReLUFunction,
    "rnn_relu_cell": cnnext.autograd.RecurrenceFunction,
    "rnn_tanh_cell": cnnext.autograd.RecurrenceFunction,
}
ONE_STATE = {"gru_cell": Cell.GRU, "rnn_relu_cell": Cell.RNN_RELU, "rnn_tanh_cell": Cell.RNN_TANH}


def first_of(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def leaves_of(op: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [operand.requires_grad_() for operand in operands_of(op, dtype)]


def loss_of(output: Any) -> Tensor:
    outputs = output if isinstance(output, tuple) else (output,)
    return sum(t.square().sum() for t in outputs)


def check_with_native(
    compute: Callable[[Any, torch.dtype], Sequence[Tensor | None]],
    dtype: torch.dtype = torch.float32,
) -> Sequence[Tensor | None]:
    """What `compute(library, dtype)` makes of the same numbers; ours, as near as native's."""
    calls = ((CNNEXT, dtype), (NATIVE, dtype), (NATIVE, torch.float64))
    results = []
    for library, precision in calls:
        torch.manual_seed(0)
        results.append(compute(library, precision))
    for index, (ours, native, reference) in enumerate(zip(*results, strict=True)):
        assert (ours is None) == (native is None), f"result {index}"
        if ours is not None:
            assert_agrees(ours.detach(), native, reference, what=f"result {index}")
    return results[0]


# --------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("op", OPS)
def test_the_graph_holds_our_function(op: str) -> None:
    output = first_of(call(CNNEXT, op, *leaves_of(op)))
    assert type(output.grad_fn).__name__ == f"{FUNCTIONS[op].__name__}Backward"


@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode))
@pytest.mark.parametrize("op", OPS)
def test_no_graph_without_grad_mode(op: str, mode: Any) -> None:
    def output(library: Any, dtype: torch.dtype) -> tuple[Tensor]:
        with mode():
            return (first_of(call(library, op, *leaves_of(op, dtype))),)

    (ours,) = check_with_native(output)
    assert ours.grad_fn is None and not ours.requires_grad
    assert ours.is_inference() == (mode is torch.inference_mode)


@pytest.mark.parametrize("op", OPS)
def test_no_graph_without_a_gradient_wanted(op: str) -> None:
    assert not first_of(call(CNNEXT, op, *operands_of(op))).requires_grad


@pytest.mark.parametrize("op", OPS)
def test_the_function_can_be_applied_directly(op: str) -> None:
    leaves = leaves_of(op)
    arguments = (*leaves, (2, 2)) if "pool" in op else leaves
    if op in ONE_STATE:
        x, h, *weights = leaves
        arguments = (ONE_STATE[op], None, False, x, h, None, *weights)
    ours, expected = FUNCTIONS[op].apply(*arguments), call(CNNEXT, op, *leaves)
    if op in ("adaptive_max_pool2d", *ONE_STATE):
        ours, _ = ours
    assert type(ours) is type(expected)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert first_of(ours).requires_grad


# ------------------------------------------------------------------------------- saved tensors


@pytest.mark.parametrize(
    ("op", "place"),
    [(op, place) for op in OPS for place in range(len(operands_of(op)))],
)
def test_an_operand_that_changes_spoils_no_gradient(op: str, place: int) -> None:
    """Either the change is noticed, or the operand was not needed any more."""
    leaves = leaves_of(op)
    expected = torch.autograd.grad(loss_of(call(CNNEXT, op, *leaves)), leaves)
    operands = [leaf * 1 for leaf in leaves]
    loss = loss_of(call(CNNEXT, op, *operands))
    with torch.no_grad():
        operands[place] += 1
    try:
        ours = torch.autograd.grad(loss, leaves)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
    else:
        for result, value in zip(ours, expected, strict=True):
            assert_bitwise_equal(result, value)


@pytest.mark.parametrize("trained", range(3))
@pytest.mark.parametrize("changed", range(3))
@pytest.mark.parametrize("op", ("conv2d", "linear"))
def test_what_native_lets_change_may_change(op: str, changed: int, trained: int) -> None:
    """Frozen layers, and optimizer steps between two losses: only what is needed is kept."""

    def gradient(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        operands = list(operands_of(op, dtype))
        leaf = operands[trained].requires_grad_()
        operands[trained] = leaf * 1
        loss = loss_of(call(library, op, *operands))
        with torch.no_grad():
            operands[changed] += 1
        return torch.autograd.grad(loss, leaf)

    try:
        gradient(NATIVE, torch.float32)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
    else:
        check_with_native(gradient)


def test_states_of_a_recurrent_cell_may_be_reset_in_place() -> None:
    def gradients(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        x, h, c, *parameters = leaves_of("lstm_cell", dtype)
        hx, cx, loss = h * 1, c * 1, torch.zeros(())
        for _ in range(3):
            hx, cx = library.lstm_cell(x, (hx, cx), *parameters)
            loss = loss + hx.sum()
            cx[0] = 0.0
        return torch.autograd.grad(loss, (x, h, c, *parameters))

    check_with_native(gradients)


@pytest.mark.parametrize("op", OPS)
def test_backward_twice_needs_a_retained_graph(op: str) -> None:
    leaves = leaves_of(op)
    loss = loss_of(call(CNNEXT, op, *leaves))
    once = torch.autograd.grad(loss, leaves, retain_graph=True)
    twice = torch.autograd.grad(loss, leaves)
    for first, second in zip(once, twice, strict=True):
        assert_bitwise_equal(second, first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("op", OPS)
def test_saved_tensors_can_be_packed_elsewhere(op: str) -> None:
    leaves = leaves_of(op)
    expected = torch.autograd.grad(loss_of(call(CNNEXT, op, *leaves)), leaves)
    packed = []

    def pack(t: Tensor) -> Tensor:
        packed.append(t)
        return t.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = loss_of(call(CNNEXT, op, *leaves))
    for result, value in zip(torch.autograd.grad(loss, leaves), expected, strict=True):
        assert_bitwise_equal(result, value)
    assert packed


@pytest.mark.parametrize("reentrant", (True, False), ids=("reentrant", "not_reentrant"))
@pytest.mark.parametrize("op", OPS)
def test_checkpoint(op: str, reentrant: bool) -> None:
    def gradients(run: Any) -> tuple[Tensor, ...]:
        leaves = leaves_of(op)
        loss_of(run(leaves)).backward()
        return tuple(leaf.grad for leaf in leaves if leaf.grad is not None)

    torch.manual_seed(0)
    expected = gradients(lambda leaves: call(CNNEXT, op, *leaves))
    torch.manual_seed(0)
    ours = gradients(
        lambda leaves: checkpoint(
            lambda *values: call(CNNEXT, op, *values), *leaves, use_reentrant=reentrant
        )
    )
    for result, value in zip(ours, expected, strict=True):
        assert_bitwise_equal(result, value)


# --------------------------------------------------------------------------- higher derivatives


@pytest.mark.parametrize("op", OPS)
def test_gradient_penalty(op: str) -> None:
    """The gradient of a gradient's norm, in float32, through a graph of several calls."""

    def gradients_of_penalty(library: Any, dtype: torch.dtype) -> Sequence[Tensor | None]:
        leaves = leaves_of(op, dtype)
        gradients = torch.autograd.grad(
            loss_of(call(library, op, *leaves)), leaves, create_graph=True
        )
        penalty = sum(gradient.square().sum() for gradient in gradients)
        return torch.autograd.grad(penalty, leaves, allow_unused=True)

    ours = check_with_native(gradients_of_penalty)
    assert any(t is not None and t.abs().sum() > 0 for t in ours)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("create_graph", (False, True))
@pytest.mark.parametrize("op", OPS)
def test_batched_gradients(op: str, create_graph: bool) -> None:

    def gradients(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        leaves = leaves_of(op, dtype)
        output = first_of(call(library, op, *leaves))
        seeds = torch.randn(3, *output.shape).to(dtype)
        return torch.autograd.grad(
            output, leaves, seeds, is_grads_batched=True, create_graph=create_graph
        )

    check_with_native(gradients)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("op", OPS)
def test_gradients_of_batched_gradients(op: str) -> None:
    """Another term has a graph of its own, so that a lost one would not be an error."""

    def gradients_of_gradients(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        leaves = leaves_of(op, dtype)
        output = first_of(call(library, op, *leaves)).square()
        seeds = torch.randn(3, *output.shape, dtype=dtype)
        gradients = torch.autograd.grad(
            output, leaves, seeds, is_grads_batched=True, create_graph=True
        )
        total = sum(t.square().sum() for t in (*gradients, *leaves))
        return torch.autograd.grad(total, leaves)

    check_with_native(gradients_of_gradients, torch.float64)


@pytest.mark.parametrize("op", ("conv2d", "linear", "lstm_cell"))
def test_hessian_vector_product(op: str) -> None:
    def products(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        operands = operands_of(op, dtype)
        vectors = tuple(torch.ones_like(operand) for operand in operands)
        loss, product = torch.autograd.functional.hvp(
            lambda *values: loss_of(call(library, op, *values)), operands, vectors
        )
        return loss, *product

    check_with_native(products, torch.float64)


# ------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", (1, 2, 3, 8))
@pytest.mark.parametrize("op", OPS)
def test_any_number_of_threads(op: str, threads: int) -> None:
    def gradients(library: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        leaves = leaves_of(op, dtype)
        return torch.autograd.grad(loss_of(call(library, op, *leaves)), leaves)

    with use_threads(threads):
        check_with_native(gradients)


def test_calls_from_many_threads_do_not_mix() -> None:
    layer = cnnext.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    images = [torch.randn(1, 16, 8 + 2 * (i % 3), 9) for i in range(12)]
    expected = [layer(image) for image in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for result, value in zip(pool.map(layer, images), expected, strict=True):
                assert_bitwise_equal(result, value)


# ------------------------------------------------------------------------------- a whole network


class Network(nn.Module):
    """One of each operator."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.features = nn.Sequential(
            layers.Conv2d(3, 8, 3, padding="same"),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(2),
            layers.Conv2d(8, 8, 1, groups=2),
            layers.ReLU(),
        )
        self.linear = layers.Linear(8 * 4 * 4, 6)
        self.cell = layers.LSTMCell(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.linear(self.features(images).flatten(1))
        h, c = self.cell(rows)
        h, _ = self.cell(rows, (h, c))
        return h


@pytest.mark.parametrize(
    "backend", ("eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow))
)
@pytest.mark.parametrize("layout", (torch.contiguous_format, torch.channels_last), ids=str)
def test_a_compiled_network_trains(backend: str, layout: torch.memory_format) -> None:
    torch._dynamo.reset()
    native, ours = Network(nn), Network(cnnext.nn)
    ours.load_state_dict(native.state_dict())
    compiled = torch.compile(ours, fullgraph=True, backend=backend)
    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=layout)
    results = []
    for model in (compiled, native, copy.deepcopy(native).double()):
        values = images.to(next(model.parameters()).dtype)
        with torch.no_grad():
            output = model(values)
        loss = model(values).square().sum()
        results.append((output, *torch.autograd.grad(loss, tuple(model.parameters()))))
    for result, value, reference in zip(*results, strict=True):
        assert_agrees(result, value, reference, what="compiled network")

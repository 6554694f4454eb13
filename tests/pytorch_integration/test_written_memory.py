"""Memory that users write to: gradients, and operands and results before backward.

Gradients are scaled in place, states of sequences that ended are zeroed, dropout works in place on
the output of an RNN, optimizers step between two losses. Where native lets a tensor be written to,
so do we; and whoever lets it be returns the gradients of what the operator computed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, measure
from tests.ops.support import CNNEXT, DTYPES, NATIVE, VIEWS, assert_agrees, seed_gradient
from tests.pytorch_integration.cases import IMAGES, LAYERS, OPERATORS, Layer, Operator, Tensors

OURS = SimpleNamespace(functional=CNNEXT, nn=cnnext.nn)
THEIRS = SimpleNamespace(functional=NATIVE, nn=nn)

# ------------------------------------------------------------------------------------- calls


@dataclass(frozen=True)
class Call:
    """A call of an operator or a module; `operands` are what it is given and its parameters."""

    name: str
    run: Callable[[Any, Sequence[Tensor]], Any]
    operands: Callable[[torch.dtype], Tensors]

    def __str__(self) -> str:
        return self.name

    def results(self, library: Any, operands: Sequence[Tensor]) -> list[Tensor]:
        """All tensors that it returns, also indices and the sizes of a PackedSequence."""
        result = self.run(library, operands)
        return [t for t in tree_leaves(_as_tuples(result)) if isinstance(t, Tensor)]

    def mapped(self, name: str, change: Callable[[Tensor], Tensor]) -> Call:
        """The same call on changed operands."""
        return replace(
            self,
            name=f"{self.name}-{name}",
            operands=lambda dtype: tuple(map(change, self.operands(dtype))),
        )


def _as_tuples(result: Any) -> Any:
    return tuple(map(_as_tuples, result)) if isinstance(result, tuple) else result


def of_operator(op: Operator) -> Call:
    return Call(op.name, lambda library, v: op.apply(library.functional, *v), op.operands)


def of_layer(layer: Layer, name: str = "", batch_sizes: Sequence[int] | None = None) -> Call:
    """With `batch_sizes`, the first input is the data of a PackedSequence of that many."""
    names, structure = list(layer.parameters), tree_flatten(layer.inputs())[1]
    ours, native = layer.pair()

    def run(library: Any, operands: Sequence[Tensor]) -> Any:
        count = structure.num_leaves
        x, *states = tree_unflatten(operands[:count], structure)
        if batch_sizes is not None:
            x = PackedSequence(x, torch.tensor(batch_sizes))
        module = ours if library is OURS else native
        buffers = {name: b.to(operands[0].dtype) for name, b in module.named_buffers()}
        parameters = dict(zip(names, operands[count:], strict=True))
        return functional_call(module, {**buffers, **parameters}, (x, *states))

    def operands(dtype: torch.dtype) -> Tensors:
        parameters = layer.build(nn, dtype=dtype).parameters() if names else ()
        return (*tree_leaves(layer.inputs(dtype)), *(p.detach() for p in parameters))

    return Call(f"{layer.name}{name}", run, operands)


def _recurrent(name: str, form: str, mode: str | None) -> Call:
    """3 features, 4 units, 3 sequences of up to 4 steps."""
    deep = form == "deep"
    options = {} if mode is None else {"nonlinearity": mode}
    options |= {"num_layers": 2, "bidirectional": True} if deep else {}
    options |= {"batch_first": True} if form == "batch_first" else {}
    count = 4 if deep else 1
    state = (count, 4) if form == "unbatched" else (count, 3, 4)
    rows = {"unbatched": (4, 3), "packed": (8, 3), "batch_first": (3, 4, 3), "step": (1, 3, 3)}
    shapes = (rows.get(form, (4, 3, 3)), *(state,) * (2 if name == "LSTM" else 1))
    layer = Shaped(name, (3, 4), shapes, options, states=name == "LSTM")
    batch_sizes = (3, 2, 2, 1) if form == "packed" else None
    return of_layer(layer, f"-{mode}-{form}" if mode else f"-{form}", batch_sizes)


class Shaped(Layer):
    """A layer whose inputs have just these shapes, whatever the batch."""

    def inputs(self, dtype: torch.dtype = torch.float32, batch: int = 0) -> tuple[Any, ...]:
        values = Operator(self.name, tuple, self.shapes).operands(dtype)
        return (values[0], values[1:]) if self.states else values


class ConvReLUPool(Layer):
    """Three layers in a row, which we train as one function."""

    def build(self, layers: Any, **options: Any) -> nn.Module:
        conv = Layer("Conv2d", (3, 4, 3), ()).build(layers, **options)
        return layers.Sequential(conv, layers.ReLU(), layers.MaxPool2d(2))


def _image_layer(name: str, arguments: tuple[Any, ...], **options: Any) -> Call:
    words = "".join(f"-{word}" for word in options)
    return of_layer(Layer(name, arguments, (IMAGES,), options), words)


def _unbatched(name: str, *arguments: Any, shapes: Any = (IMAGES[1:],)) -> Call:
    layer = Shaped(name, arguments, shapes, states=len(shapes) == 3)
    return of_layer(layer, "-unbatched")


FORMS = ("padded", "packed", "deep", "batch_first", "unbatched", "step")
KINDS = (("LSTM", None), ("GRU", None), ("RNN", "tanh"), ("RNN", "relu"))

FUNCTIONS = (
    *map(of_operator, OPERATORS),
    of_operator(Operator("relu_", lambda library, x: library.relu(x * 1, inplace=True), (IMAGES,))),
)
MODULES = (
    *(of_layer(layer) for layer in LAYERS if not layer.recurrent),
    of_layer(Layer("RNNCell", (3, 4), ((2, 3), (2, 4)), {"nonlinearity": "relu"}), "-relu"),
    _image_layer("Conv2d", (3, 4, 2), padding="same"),
    _image_layer("Conv2d", (3, 4, 2), padding=1, padding_mode="circular"),
    _image_layer("MaxPool2d", (2,), return_indices=True),
    _image_layer("AdaptiveMaxPool2d", (2,), return_indices=True),
    of_layer(ConvReLUPool("Sequential", (), (IMAGES,))),
    _unbatched("Conv2d", 3, 4, 3),
    *(_unbatched(name, 2) for name in ("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d")),
    _unbatched("LSTMCell", 3, 4, shapes=((3,), (4,), (4,))),
    *(_unbatched(name, 3, 4, shapes=((3,), (4,))) for name in ("GRUCell", "RNNCell")),
    *(_recurrent(name, form, mode) for (name, mode), form in product(KINDS, FORMS)),
)
CALLS = (*FUNCTIONS, *MODULES)

each_call = pytest.mark.parametrize("call", CALLS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
#: Around the function that is differentiated, these only have other views.
VIEWS_ONLY = ("batch_first", "unbatched", "step")
each_order = pytest.mark.parametrize(
    ("call", "order"),
    [
        pytest.param(call, order, id=f"{call}-{('first', 'second')[order - 1]}")
        for call in CALLS
        for order in ((1,) if call.name.endswith(VIEWS_ONLY) else (1, 2))
    ],
)


@pytest.fixture(autouse=True)
def _native_by_aten() -> Any:
    """oneDNN's LSTM keeps its output; ATen's does not, and is what there is on other machines."""
    enabled = torch.backends.mkldnn.enabled
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(enabled)


# ------------------------------------------------------------------------------------ writes


def _mask(t: Tensor) -> Tensor:
    return torch.arange(t.numel()).view(t.shape) % 3 == 0


def _dropout(t: Tensor) -> None:
    torch.manual_seed(5)
    nn.functional.dropout(t, 0.5, True, inplace=True)


def _without_graph(t: Tensor) -> None:
    with torch.no_grad():
        t.mul_(-2)


#: What users do to a tensor in place.
WRITES: dict[str, Callable[[Tensor], Any]] = {
    "mul_": lambda t: t.mul_(-2),
    "+=": lambda t: t.add_(1),
    "masked_fill_": lambda t: t.masked_fill_(_mask(t), 0),
    "dropout": _dropout,
    "relu_": lambda t: t.relu_(),
    "sigmoid_": lambda t: t.sigmoid_(),
    "zero_": lambda t: t.zero_(),
    "[0] = 0": lambda t: t[0].zero_(),
    "no_grad": _without_graph,
    "detach": lambda t: t.detach().mul_(-2),
}


#: How autograd says that it has noticed, of a tensor and of a view.
NOTICED = "modified (by an )?inplace"


@dataclass(frozen=True)
class Write:
    """What is written to between the two passes, how, and which operands have gradients then."""

    to: str  # "operand" or "result"; or "copy" of a result, or "nothing"
    place: int
    how: str
    trained: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.how} on {self.to} {self.place} with gradients of {self.trained}"


def writes_of(call: Call) -> list[Write]:
    """All results in all ways; all operands in one way, for each choice of trained operands.

    Calls with many operands, as stacked layers have, only with all of them trained.
    """
    operands = call.operands(torch.float32)
    results = call.results(THEIRS, operands)
    places = tuple(range(len(operands)))
    writes = [
        Write("result", place, how, places)
        for place, result in enumerate(results)
        for how in (WRITES if result.is_floating_point() else ("zero_",))
    ]
    alone = [(place,) for place in places if 1 < len(places) < 8]
    for trained in (places, *alone):
        writes += [Write("operand", place, "no_grad", trained) for place in places]
        if trained != places:
            writes += [Write("result", place, "no_grad", trained) for place in range(len(results))]
    return writes


def gradients(call: Call, library: Any, dtype: torch.dtype, order: int, write: Write) -> Tensors:
    """The gradients of a call and of what is computed from its results.

    The second order is the gradient of the gradients' norm.
    """
    leaves = [t.detach().clone() for t in call.operands(dtype)]
    trained = [leaves[place].requires_grad_() for place in write.trained]
    operands = [leaf * 1 for leaf in leaves]
    results = call.results(library, operands)
    if write.to == "copy":
        results = [t.clone() for t in results]
    if write.to != "nothing":
        WRITES[write.how]((operands if write.to == "operand" else results)[write.place])
    loss = sum((t * t * t.sigmoid()).sum() for t in results if t.is_floating_point())
    found = torch.autograd.grad(loss, trained, create_graph=order == 2)
    if order == 1:
        return found
    norm = sum((t * t).sum() for t in found)
    if not norm.requires_grad:
        return tuple(map(torch.zeros_like, trained))
    return torch.autograd.grad(norm, trained, allow_unused=True, materialize_grads=True)


def spared(write: Write) -> Write:
    """Instead of the result a copy of it is written to, and instead of the operand nothing."""
    if write.to == "operand":
        return Write("nothing", 0, "", write.trained)
    return replace(write, to="copy")


@functools.cache
def right_gradients(call: Call, dtype: torch.dtype, order: int, write: Write) -> Tensors:
    return gradients(call, THEIRS, dtype, order, write)


#: What computes our gradients.
Ours = Callable[[Call, torch.dtype, int, Write], Tensors]


def our_gradients(call: Call, dtype: torch.dtype, order: int, write: Write) -> Tensors:
    return gradients(call, OURS, dtype, order, write)


def check_write(call: Call, dtype: torch.dtype, order: int, write: Write, ours: Ours) -> None:
    try:
        results = ours(call, dtype, order, write)
    except RuntimeError as error:
        assert re.search(NOTICED, str(error))
        with pytest.raises(RuntimeError, match=NOTICED):
            gradients(call, THEIRS, dtype, order, write)
        return
    native = right_gradients(call, dtype, order, spared(write))
    reference = right_gradients(call, torch.float64, order, spared(write))
    answers = zip(results, native, reference, strict=True)
    for place, answer in zip(write.trained, answers, strict=True):
        what = f"gradient of operand {place}"
        if order == 1 or dtype == torch.float64:
            assert_agrees(*answer, what=what)
        else:  # a gradient of squared gradients multiplies roundings; lost memory is off by more
            error, native_error = (measure(a, answer[2]).relative for a in answer[:2])
            assert error <= 2 * native_error + 1e-4, f"{what}: {error:.2e} of the largest value"


def check_writes(
    call: Call,
    dtype: torch.dtype,
    order: int,
    ours: Ours = our_gradients,
    ways: Sequence[str] = tuple(WRITES),
) -> None:
    failures = []
    for write in writes_of(call):
        if write.how not in ways:
            continue
        try:
            check_write(call, dtype, order, write, ours)
        except (AssertionError, RuntimeError, pytest.fail.Exception) as error:
            failures.append(f"{write}: {error}")
    assert not failures, "\n".join(failures)


@each_dtype
@each_order
def test_writes_that_native_allows(call: Call, dtype: torch.dtype, order: int) -> None:
    """An error only where native has one; and where there is none, the right gradients."""
    check_writes(call, dtype, order)


@pytest.mark.parametrize("how", ("mul_", "no_grad"))
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.name.endswith(("_cell", "-padded"))], ids=str
)
def test_writes_to_compiled_results(call: Call, how: str) -> None:
    """Outside of the graph."""
    torch._dynamo.reset()
    run = torch.compile(call.run, fullgraph=True, backend="aot_eager")
    compiled = replace(call, run=lambda library, operands: run(library, tuple(operands)))
    operands = call.operands(torch.float32)
    for place in range(len(call.results(THEIRS, operands))):
        write = Write("result", place, how, tuple(range(len(operands))))

        def ours(_: Call, *rest: Any) -> Tensors:
            return our_gradients(compiled, *rest)

        check_write(call, torch.float32, 1, write, ours)


# --------------------------------------------------------------------------------- gradients


#: What the results' own gradients look like.
UPSTREAM: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": seed_gradient,
    "expanded": lambda t: torch.ones((), dtype=t.dtype).expand_as(t),
    "transposed": lambda t: VIEWS["transposed"](seed_gradient(t)),
}


def changed_by_scaling(
    call: Call, library: Any, dtype: torch.dtype, upstream: str, create_graph: bool
) -> set[str]:
    """What changes otherwise than it should where each gradient is scaled in place by two."""
    leaves = [t.detach().clone().requires_grad_() for t in call.operands(dtype)]
    results = [t for t in call.results(library, leaves) if t.is_floating_point()]
    seeds = [UPSTREAM[upstream](t.detach()) for t in results]
    options = {"retain_graph": True, "create_graph": create_graph}
    found = [torch.autograd.grad(results, leaves, seeds, **options) for _ in range(2)]
    others = {"operand": leaves, "result": results, "seed": seeds}
    scaled = {f"gradient {i} of {pass_}": t for pass_ in (0, 1) for i, t in enumerate(found[pass_])}
    factors = dict.fromkeys(scaled, 2)
    tensors = scaled | {f"{kind} {i}": t for kind in others for i, t in enumerate(others[kind])}
    before = {name: t.detach().clone() for name, t in tensors.items()}
    with torch.no_grad():
        for gradient in scaled.values():
            gradient.mul_(2)
    return {name for name, t in tensors.items() if not t.equal(before[name] * factors.get(name, 1))}


ONE_ROW = tuple(
    call.mapped("one_row", lambda t: t[:1] if t.shape[0] == 2 else t)
    for call in (*FUNCTIONS, *(call for call in MODULES if call.name.endswith("Cell")))
)


@each_dtype
@pytest.mark.parametrize("call", (*CALLS, *ONE_ROW), ids=str)
def test_gradients_share_no_memory(call: Call, dtype: torch.dtype) -> None:
    """Not with each other, nor with anything that the user holds; where native's do not."""
    for way in product(UPSTREAM, (False, True)):
        ours = changed_by_scaling(call, OURS, dtype, *way)
        if ours:
            assert ours <= changed_by_scaling(call, THEIRS, dtype, *way), way


@each_call
def test_accumulated_gradients(call: Call) -> None:
    """`grad` of one leaf is scaled in place between two passes; all others add up as they are."""
    leaves = [t.detach().clone().requires_grad_() for t in call.operands(torch.float32)]
    loss = sum((t * t).sum() for t in call.results(OURS, leaves) if t.is_floating_point())
    once = torch.autograd.grad(loss, leaves, retain_graph=True)
    for scaled in leaves:
        for leaf in leaves:
            leaf.grad = None
        loss.backward(retain_graph=True)
        scaled.grad.mul_(2)
        loss.backward(retain_graph=True)
        for leaf, gradient in zip(leaves, once, strict=True):
            expected = gradient * 2 + gradient if leaf is scaled else gradient + gradient
            assert_bitwise_equal(leaf.grad, expected)

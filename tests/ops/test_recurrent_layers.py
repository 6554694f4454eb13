"""LSTM, GRU and RNN, the modules: in all their forms what torch.nn's are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves, tree_map

import cnnext
from cnnext.testing.errors import assert_bitwise_equal, make_input
from tests.ops.graphs import Compiled, ops_in
from tests.ops.support import (
    VIEWS,
    assert_agrees,
    assert_same_sums,
    generator_for,
    seed_gradient,
    use_threads,
)
from tests.pytorch_integration.cases import outcome

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 6, 7
LENGTHS = (3, 1, 5)  # sorted by a permutation that is not its own inverse

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
}
each_kind = pytest.mark.parametrize("kind", KINDS)

DEEP = {"num_layers": 2, "bidirectional": True}


# ---------------------------------------------------------------------------------- problems


def build(library: Any, kind: str, **options: Any) -> Any:
    """The same parameters whatever the library."""
    name, own = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(library, name)(INPUT, HIDDEN, **own, **options)


@dataclass
class Trio:
    """Our layers, native's, and native's in float64, of the same parameters."""

    ours: Any
    native: Any
    double: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.ours, self.native, self.double))


def trio(kind: str, **options: Any) -> Trio:
    ours, native = (build(library, kind, **options) for library in (cnnext, nn))
    return Trio(ours, native, copy.deepcopy(native).double())


def states_for(layers: Any, batch: int | None = BATCH) -> Any:
    """First states as these layers want them; of an unbatched input for None."""
    count = layers.num_layers * (2 if layers.bidirectional else 1)
    shape = (count, HIDDEN) if batch is None else (count, batch, HIDDEN)
    h0, c0 = (make_input("normal", shape, generator_for(name, shape)) for name in "hc")
    return (h0, c0) if isinstance(layers, nn.LSTM) else h0


def sequences(*shape: int) -> Tensor:
    return make_input("normal", shape or (STEPS, BATCH, INPUT), generator_for("sequences", shape))


def packed_sequences(*, enforce_sorted: bool = False) -> PackedSequence:
    lengths = sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS
    each = [sequences(length, INPUT) for length in lengths]
    return pack_sequence(each, enforce_sorted=enforce_sorted)


def tensors_of(result: Any) -> list[Tensor]:
    """Output and last states; of a PackedSequence its data, for its indices are integers."""
    return [t for t in tree_leaves(_plain(result)) if t.is_floating_point()]


def _plain(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return value.data
    return tuple(_plain(each) for each in value) if isinstance(value, tuple) else value


def outputs_and_gradients(layers: Any, *call: Any) -> tuple[list[Tensor], dict[str, Tensor]]:
    """What a call returns, and the gradients of all that it is given and of the parameters."""
    dtype = next(layers.parameters()).dtype

    def leaf(t: Any) -> Any:
        if isinstance(t, PackedSequence):
            return PackedSequence(leaf(t.data), *t[1:])
        return t.detach().to(dtype).requires_grad_() if isinstance(t, Tensor) else t

    call = tree_map(leaf, call, is_leaf=lambda value: isinstance(value, PackedSequence))
    outputs = tensors_of(layers(*call))
    leaves = {f"operand {i}": t for i, t in enumerate(tensors_of(call))}
    leaves |= dict(layers.named_parameters())
    seeds = [seed_gradient(output) for output in outputs]
    return outputs, dict(
        zip(leaves, torch.autograd.grad(outputs, [*leaves.values()], seeds), strict=True)
    )


def check_call(layers: Trio, *call: Any) -> None:
    """Outputs with a graph and without, their strides, and all gradients."""
    (ours, my_gradients), (native, gradients), (double, double_gradients) = (
        outputs_and_gradients(each, *call) for each in layers
    )
    for index, answer in enumerate(zip(ours, native, double, strict=True)):
        assert_agrees(*answer, what=f"output {index}")
        assert answer[0].shape == answer[1].shape
        assert answer[0].stride() == answer[1].stride(), f"output {index}"
    assert list(my_gradients) == list(gradients)
    for name, result in my_gradients.items():
        assert_agrees(result, gradients[name], double_gradients[name], what=name)
    with torch.no_grad():
        for result, expected in zip(tensors_of(layers.ours(*call)), ours, strict=True):
            assert_bitwise_equal(result, expected, what="output without a graph")
            assert result.stride() == expected.stride()


def assert_same_bits(ours: Any, expected: Any) -> None:
    for result, value in zip(tensors_of(ours), tensors_of(expected), strict=True):
        assert_bitwise_equal(result, value)


# ------------------------------------------------------------------------------------ results


@pytest.mark.parametrize("bias", (True, False), ids=("bias", "no_bias"))
@pytest.mark.parametrize("batch_first", (False, True), ids=("steps_first", "batch_first"))
@pytest.mark.parametrize("bidirectional", (False, True), ids=("one_way", "both_ways"))
@pytest.mark.parametrize("num_layers", (1, 2, 3))
@each_kind
def test_layers(
    kind: str, num_layers: int, bidirectional: bool, batch_first: bool, bias: bool
) -> None:
    layers = trio(
        kind,
        num_layers=num_layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
        bias=bias,
    )
    x = sequences()
    if batch_first:
        x = x.transpose(0, 1).contiguous()
    check_call(layers, x)
    check_call(layers, x, states_for(layers.ours))


@pytest.mark.parametrize("batch_first", (False, True), ids=("steps_first", "batch_first"))
@pytest.mark.parametrize("options", ({}, DEEP), ids=("plain", "deep"))
@each_kind
def test_unbatched(kind: str, options: dict[str, Any], batch_first: bool) -> None:
    layers = trio(kind, batch_first=batch_first, **options)
    x = sequences(STEPS, INPUT)
    check_call(layers, x)
    check_call(layers, x, states_for(layers.ours, None))


@pytest.mark.parametrize("steps, batch", ((1, 1), (1, BATCH), (STEPS, 1), (37, 2), (2, 37)))
@each_kind
def test_sizes(kind: str, steps: int, batch: int) -> None:
    layers = trio(kind, **DEEP)
    check_call(layers, sequences(steps, batch, INPUT), states_for(layers.ours, batch))


@each_kind
def test_wide_layers(kind: str) -> None:
    """Too wide for a tile, with several threads."""
    name, own = KINDS[kind]
    native = getattr(nn, name)(130, 90, bidirectional=True, **own)
    ours = getattr(cnnext, name)(130, 90, bidirectional=True, **own)
    ours.load_state_dict(native.state_dict())
    with use_threads(3):
        check_call(Trio(ours, native, copy.deepcopy(native).double()), sequences(9, 21, 130))


@pytest.mark.parametrize("view", VIEWS)
@each_kind
def test_views(kind: str, view: str) -> None:
    layers = trio(kind, **DEEP)
    change = VIEWS[view]
    check_call(layers, change(sequences()), tree_map(change, states_for(layers.ours)))


def test_states_may_be_a_list() -> None:
    layers = trio("lstm")
    states = states_for(layers.ours)
    for each in (layers.ours, layers.native):
        assert_same_bits(each(sequences(), list(states)), each(sequences(), states))


# ----------------------------------------------------------------------------- PackedSequence


@pytest.mark.parametrize("given", (False, True), ids=("no_states", "states"))
@pytest.mark.parametrize("enforce_sorted", (True, False), ids=("sorted", "unsorted"))
@pytest.mark.parametrize("options", ({}, {"bias": False, "batch_first": True}, DEEP), ids=str)
@each_kind
def test_packed_sequences(
    kind: str, options: dict[str, Any], enforce_sorted: bool, given: bool
) -> None:
    layers = trio(kind, **options)
    packed = packed_sequences(enforce_sorted=enforce_sorted)
    call = (packed, states_for(layers.ours)) if given else (packed,)
    check_call(layers, *call)
    result, _ = layers.ours(*call)
    assert type(result) is PackedSequence
    for mine, expected in zip(result[1:], layers.native(*call)[0][1:], strict=True):
        assert mine is expected is None or torch.equal(mine, expected)


# ------------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize("packed", (False, True), ids=("padded", "packed"))
@pytest.mark.parametrize("batch_first", (False, True), ids=("steps_first", "batch_first"))
@pytest.mark.parametrize("dropout", (0.4, 1.0))
@each_kind
def test_dropout_draws_natives_numbers(
    kind: str, dropout: float, batch_first: bool, packed: bool
) -> None:
    layers = trio(kind, num_layers=3, bidirectional=True, batch_first=batch_first, dropout=dropout)
    x = packed_sequences() if packed else sequences()
    results, next_numbers = [], []  # of all three: float64 draws as float32 does
    for each in layers:
        torch.manual_seed(7)
        results.append(outputs_and_gradients(each, x))
        next_numbers.append(torch.rand(()))
    assert next_numbers[0] == next_numbers[1]
    (ours, my_gradients), (native, gradients), (double, double_gradients) = results
    for index, answer in enumerate(zip(ours, native, double, strict=True)):
        assert_agrees(*answer, what=f"output {index}")
    for name, result in my_gradients.items():
        assert_agrees(result, gradients[name], double_gradients[name], what=name)


@each_kind
def test_no_dropout_in_evaluation(kind: str) -> None:
    layers = trio(kind, num_layers=2, dropout=0.5)
    for each in layers:
        each.eval()
    check_call(layers, sequences())


# ----------------------------------------------------------------------------- differentiation


def penalty_gradients(layers: Any, *call: Any) -> tuple[Tensor, ...]:
    """The gradients of a gradient's norm."""
    dtype = next(layers.parameters()).dtype
    x, *rest = tree_map(lambda t: t.to(dtype), call)
    leaves = (x.requires_grad_(), *layers.parameters())
    outputs = tensors_of(layers(x, *rest))
    seeds = [seed_gradient(output) for output in outputs]
    gradients = torch.autograd.grad(outputs, leaves, seeds, create_graph=True)
    return torch.autograd.grad(sum(g.square().sum() for g in gradients), leaves)


@pytest.mark.parametrize("options", ({}, {"bias": False, "batch_first": True}, DEEP), ids=str)
@each_kind
def test_second_derivatives(kind: str, options: dict[str, Any]) -> None:
    """In float32, as near to float64 as native comes where it can."""
    layers = trio(kind, **options)
    call = (sequences(BATCH, BATCH, INPUT), states_for(layers.ours))
    answers = (penalty_gradients(each, *tree_map(torch.clone, call)) for each in layers)
    for index, values in enumerate(zip(*answers, strict=True)):
        assert_agrees(*values, what=f"second derivative {index}")


@each_kind
def test_frozen_layers(kind: str) -> None:
    """Only the input's gradient is wanted, or only one parameter's."""
    layers = trio(kind, **DEEP)
    for wanted in (None, "weight_hh_l1", "bias_ih_l0_reverse"):
        gradients = []
        for each in layers:
            each.requires_grad_(False)
            x = sequences().to(each.weight_ih_l0.dtype)
            leaf = x if wanted is None else getattr(each, wanted)
            leaf.requires_grad_()
            gradients += torch.autograd.grad(each(x)[0].square().sum(), leaf)
        assert_agrees(*gradients, what=str(wanted))


# ------------------------------------------------------------------------------ the parameters


@each_kind
def test_a_parameter_replaced(kind: str) -> None:
    """A call uses the parameters as they are now, of every layer and direction."""
    layers = trio(kind, **DEEP)
    for each in layers:
        each(sequences().to(each.weight_ih_l0.dtype))
        for name, parameter in list(each.named_parameters()):
            setattr(each, name, nn.Parameter(parameter.detach() * -1.5))
    check_call(layers, sequences())


# ------------------------------------------------------------------------------------ compile


class Reader(nn.Module):
    """What reads sequences, and makes one row of each."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.linear = nn.Linear(HIDDEN * (2 if layers.bidirectional else 1), 2)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.layers(x)
        return self.linear(output[-1])


@pytest.mark.parametrize("allow_rnn", (False, True), ids=("around_the_layers", "in_one_graph"))
@each_kind
def test_compile(kind: str, allow_rnn: bool) -> None:
    """Around our layers as around native's, unless torch is told otherwise."""
    library = Compiled("eager")
    reader = Reader(build(cnnext, kind, **DEEP))
    compiled = library.compile(reader, "eager", fullgraph=allow_rnn)
    gradients = []
    with torch._dynamo.config.patch(allow_rnn=allow_rnn):
        for module in (compiled, reader):
            loss = module(sequences()).square().sum()
            gradients.append(torch.autograd.grad(loss, tuple(reader.parameters())))
    assert_same_sums(*gradients)
    assert not allow_rnn or all("recurrence" in ops_in(graph) for graph in library.graphs)


# ------------------------------------------------------------------------------------ fallback


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projections_are_natives(fallbacks: list[str]) -> None:
    layers = trio("lstm", proj_size=3)
    for _ in range(2):
        assert_same_bits(layers.ours(sequences()), layers.native(sequences()))
    h0, c0 = torch.ones(1, BATCH, 3), torch.ones(1, BATCH, HIDDEN)
    assert_same_bits(layers.ours(sequences(), (h0, c0)), layers.native(sequences(), (h0, c0)))
    assert fallbacks == ["cnnext.LSTM uses native PyTorch: there are no kernels for proj_size=3"]


def test_strictness_forbids_projections() -> None:
    ours = build(cnnext, "lstm", proj_size=3)
    with pytest.raises(RuntimeError, match=r"cnnext.LSTM.*proj_size.*CNNEXT_STRICT"):
        ours(sequences())


class Subclass(Tensor):
    """A tensor subclass that only has another type."""


def in_autocast(layers: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layers(x)


#: Calls that native computes: the dtype, and a function of the layers and their input.
NATIVE_CALLS: dict[str, tuple[torch.dtype, Callable[[Any, Tensor], Any]]] = {
    "no kernels for torch.float16": (torch.half, lambda layers, x: layers(x)),
    "no kernels for torch.bfloat16": (torch.bfloat16, lambda layers, x: layers(x)),
    "no kernels for device type 'meta'": (
        torch.float32,
        lambda layers, x: layers.to("meta")(x.to("meta"))[0].stride(),
    ),
    "torch.func": (
        torch.float64,
        lambda layers, x: torch.func.grad(lambda v: layers(v)[0].square().sum())(x),
    ),
    "autocast": (torch.float32, in_autocast),
    "Subclass is not a plain tensor": (
        torch.float32,
        lambda layers, x: layers(x.as_subclass(Subclass)),
    ),
}


@pytest.mark.parametrize("why", NATIVE_CALLS)
@each_kind
def test_calls_that_are_natives(kind: str, why: str, fallbacks: list[str]) -> None:
    """Not every processor has a bfloat16 LSTM: then native's raises, and so does ours."""
    dtype, call = NATIVE_CALLS[why]
    layers = trio(kind, dtype=dtype)
    ours, native = (
        outcome(call, each, sequences().to(dtype)) for each in (layers.ours, layers.native)
    )
    if isinstance(native, type):
        assert ours is native
        return
    assert list(map(type, tree_leaves(ours))) == list(map(type, tree_leaves(native)))
    torch.testing.assert_close(ours, native, rtol=0, atol=0)
    (said,) = fallbacks
    assert said.startswith(f"cnnext.{KINDS[kind][0]} uses native PyTorch: ") and why in said


# ----------------------------------------------------------------------------------- bad calls


def _ones(*shape: int, **options: Any) -> Tensor:
    return torch.ones(shape, **options)


#: Beside those that tests/upstream_suites/adversarial makes of any argument.
BAD_INPUTS: dict[str, Callable[[], Any]] = {
    "unbatched_features": lambda: _ones(STEPS, INPUT - 1),
    "no_unbatched_steps": lambda: _ones(0, INPUT),
    "packed_features": lambda: pack_sequence([_ones(STEPS, INPUT + 1)]),
    "packed_vectors": lambda: pack_sequence([_ones(STEPS)]),
    "packed_images": lambda: pack_sequence([_ones(STEPS, 2, INPUT)]),
    "packed_double": lambda: pack_sequence([_ones(STEPS, INPUT, dtype=torch.float64)]),
}


def without_onednn() -> AbstractContextManager[None]:
    """It computes native's LSTM, and reads past the ends of what has a wrong size."""
    return torch.backends.mkldnn.flags(enabled=False)


def check_outcome(layers: Trio, *call: Any) -> Any:
    ours, native = (outcome(each, *call) for each in (layers.ours, layers.native))
    if isinstance(ours, type) or isinstance(native, type):
        assert ours is native
    else:
        for mine, other in zip(tensors_of(ours), tensors_of(native), strict=True):
            assert mine.dtype == other.dtype
            assert_same_sums(mine, other)
    return ours


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("batch_first", (False, True), ids=("steps_first", "batch_first"))
@pytest.mark.parametrize("bad", BAD_INPUTS)
@each_kind
def test_bad_inputs(kind: str, bad: str, batch_first: bool) -> None:
    layers = trio(kind, batch_first=batch_first)
    with without_onednn():
        ours = check_outcome(layers, BAD_INPUTS[bad]())
    assert isinstance(ours, type)


STATE = (1, BATCH, HIDDEN)
BAD_STATES: dict[str, Callable[[], Any]] = {
    "rows": lambda: _ones(1, BATCH + 1, HIDDEN),
    "one_row": lambda: _ones(1, 1, HIDDEN),
    "units": lambda: _ones(1, BATCH, HIDDEN + 1),
    "one_unit": lambda: _ones(1, BATCH, 1),
    "layers": lambda: _ones(2, BATCH, HIDDEN),
    "unbatched": lambda: _ones(1, HIDDEN),
    "vector": lambda: _ones(HIDDEN),
    "image": lambda: _ones(1, 1, BATCH, HIDDEN),
    "empty": lambda: _ones(0),
    "double": lambda: _ones(*STATE, dtype=torch.float64),
    "half": lambda: _ones(*STATE, dtype=torch.half),
    "integer": lambda: _ones(*STATE, dtype=torch.int64),
    "meta": lambda: _ones(*STATE, device="meta"),
    "number": lambda: 1.0,
    "text": lambda: "no tensor",
    "none": lambda: None,
}


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("bad", BAD_STATES)
@each_kind
def test_bad_states(kind: str, bad: str) -> None:
    """Alone, among others, and in tuples of every size."""
    layers = trio(kind)
    good, state = _ones(*STATE), BAD_STATES[bad]()
    wholes = [state, (state,), (state, good), (good, state), [state, good], (good, good, state)]
    for x, whole in product((sequences(), sequences(STEPS, INPUT)), wholes):
        check_outcome(layers, x, whole)


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("given", ((), (1,), (2,), (3,)), ids=("alone", "one", "two", "three"))
@each_kind
def test_a_tuple_of_states_or_one_alone(kind: str, given: tuple[int, ...]) -> None:
    layers = trio(kind)
    whole: Any = (_ones(*STATE),) * given[0] if given else _ones(*STATE)
    ours = check_outcome(layers, sequences(), whole)
    assert isinstance(ours, type) == (given != ((2,) if kind == "lstm" else ()))


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("bad", ("rows", "one_row", "units", "layers", "unbatched", "double"))
@each_kind
def test_bad_states_of_packed_sequences(kind: str, bad: str) -> None:
    layers = trio(kind)
    state: Any = BAD_STATES[bad]()
    for enforce_sorted in (True, False):
        packed = packed_sequences(enforce_sorted=enforce_sorted)
        check_outcome(layers, packed, (state, state) if kind == "lstm" else state)


@pytest.mark.usefixtures("fallbacks")
@each_kind
def test_states_that_the_batch_needs(kind: str) -> None:
    """An unbatched input needs a 2-D state, a batch a 3-D one."""
    layers = trio(kind)
    for batch in (None, 1, BATCH):
        for x in (sequences(STEPS, INPUT), sequences(STEPS, 1, INPUT), sequences()):
            check_outcome(layers, x, states_for(layers.ours, batch))


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("name", ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
@each_kind
def test_bad_parameters(kind: str, name: str) -> None:
    """A parameter has another dtype or another size, or is None."""
    changes: Sequence[Callable[[Tensor], Any]] = (
        lambda t: nn.Parameter(t.detach().double()),
        lambda t: nn.Parameter(t.detach()[:-1]),
        lambda t: nn.Parameter(t.detach()[..., :-1]),
        lambda t: None,
    )
    for change in changes:
        layers = trio(kind)
        for each in layers:
            setattr(each, name, change(getattr(each, name)))
        with without_onednn():
            ours = check_outcome(layers, sequences())
        assert isinstance(ours, type)


@pytest.mark.usefixtures("fallbacks")
def test_no_arguments() -> None:
    for kind in KINDS:
        assert check_outcome(trio(kind)) is TypeError
